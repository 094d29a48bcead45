"""What an `up` must be refused for, before anything changes. Raises UserError (exit code 2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fourfold.control.goals import on_bridge
from fourfold.control.registry import Registry
from fourfold.control.settings import Settings
from fourfold.errors import NotFoundError, UserError
from fourfold.gateway.listening import refuse_taken
from fourfold.launch.model import Powers
from fourfold.launch.process import refuse_impossible
from fourfold.spec.model import App, FixedPort, Service
from fourfold.spec.parse import parse_json


def read_app(spec: Mapping[str, Any]) -> App:
    """The App that a client sent, judged like a file: the API is open to any program of its owner."""
    return parse_json(spec)


def chosen(app: App, services: list[str] | None) -> list[str]:
    """Names of the services that a request is about. Raises NotFoundError."""
    for name in services or ():
        if name not in app.services:
            raise NotFoundError(f"cannot find service {name} in the file: it has {', '.join(sorted(app.services))}")
    return list(app.services) if services is None else list(dict.fromkeys(services))


def check_powers(app: App, names: list[str], powers: Powers) -> None:
    for name in names:
        try:
            refuse_impossible(app.services[name], powers)
        except UserError as error:
            raise UserError(f"{name}: {error}", error.hint) from error


def check_network(app: App, names: list[str], powers: Powers) -> None:
    """Before anything is built: a container that could not be connected."""
    for name in names:
        if on_bridge(app.services[name].pattern, app.services[name]) and not powers.network:
            raise UserError(
                f"{name}: cannot give it a network of its own: {powers.missing.get('network', 'not here')}",
                "install what is missing and run the daemon as root, or set `network: host` in its `container` block",
            )


def check_listen(app: App, settings: Settings) -> None:
    """The gateway's address must stay clear of the ports that Fourfold gives out itself."""
    port = int(app.gateway.listen.rpartition(":")[2])
    for name in ("ports", "internal_ports"):
        low, high = getattr(settings, name)
        if low <= port <= high:
            raise UserError(
                f"cannot listen on {app.gateway.listen}: {low} to {high} are for services ({name} in fourfold.toml)",
                "choose another port for gateway.listen, or another range",
            )


def check_fixed_ports(registry: Registry, app: App, names: list[str]) -> None:
    """A fixed port belongs to one service of this host, and to no other program of it; on the bridge all are free."""
    ours = {row.port for row in registry.instances.values() if row.address is None}
    taken = {}
    for key, row in registry.services.items():
        port = _port_of_host(row.pattern, registry.spec(key, row.release))
        if port is not None and not row.removed:
            taken[port] = key
    for name in names:
        port = _port_of_host(app.services[name].pattern, app.services[name])
        if port is not None:
            owner = taken.get(port)
            if owner is not None and owner != f"{app.app}.{name}":
                raise UserError(f"cannot give {name} the port {port}: {owner} has it", "choose another port")
            if owner is None and port not in ours:
                refuse_taken([(name, "127.0.0.1", port)], frozenset(), ipv6=False)


def _port_of_host(pattern: str, service: Service) -> int | None:
    """What it must have of this host's, and no other can have."""
    return service.port.fixed if isinstance(service.port, FixedPort) and not on_bridge(pattern, service) else None
