"""Internal ports: where services reach each other through the gateway."""

from __future__ import annotations

from dataclasses import replace

from fourfold.control.bus import Bus
from fourfold.control.goals import internal_port
from fourfold.control.instances.starter import port_is_free
from fourfold.control.registry import Registry
from fourfold.control.settings import Settings


class Ports:
    """Which one each service has. They are kept as long as that can be."""

    def __init__(self, registry: Registry, bus: Bus, settings: Settings) -> None:
        self._registry = registry
        self._bus = bus
        self._settings = settings

    def internal(self, app: str, service: str) -> int:
        """The one it has; one that it had, if nobody took it since; else a new one."""
        key = f"{app}.{service}"
        row = self._registry.services.get(key)
        if row is not None and (port := internal_port(row, self._registry.deployments.get(key))):
            return port
        port = self._given(app, service)
        if not port_is_free(port):
            self._registry.store.ports.forget(app, service)
            port = self._given(app, service)
        return port

    def _given(self, app: str, service: str) -> int:
        low, high = self._settings.internal_ports
        return self._registry.store.ports.of(app, service, range(low, high + 1), lambda port: not port_is_free(port))

    def leave_taken(self) -> None:
        """While no gateway runs (after a reboot): a port that a stranger took would keep all of it from starting."""
        for row in list(self._registry.services.values()):
            if row.internal_port is None or port_is_free(row.internal_port):
                continue
            with self._registry.transaction():
                self._registry.store.ports.forget(row.app, row.name)
                port = self._given(row.app, row.name)
                self._registry.put_service(replace(row, internal_port=port))
            what = f"another program has port {row.internal_port}: {row.name} is called at port {port} from now on"
            self._bus.emit("gateway.port", what, app=row.app, service=row.name)
