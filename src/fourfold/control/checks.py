"""What an `up` must be refused for, before anything changes. Raises UserError (exit code 2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fourfold.control.registry import Registry
from fourfold.control.settings import Settings
from fourfold.errors import NotFoundError, UserError
from fourfold.gateway.listening import refuse_taken
from fourfold.launch.model import Powers
from fourfold.launch.process import refuse_impossible
from fourfold.spec.model import App
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
    """A fixed port belongs to one service of this host, and to no other program of it."""
    ours = {row.port for row in registry.instances.values()}
    taken = {}
    for key, row in registry.services.items():
        port = registry.spec(key, row.release).port
        if port is not None and not isinstance(port, int) and not row.removed:
            taken[port.fixed] = key
    for name in names:
        port = app.services[name].port
        if port is not None and not isinstance(port, int):
            owner = taken.get(port.fixed)
            if owner is not None and owner != f"{app.app}.{name}":
                raise UserError(f"cannot give {name} the port {port.fixed}: {owner} has it", "choose another port")
            if owner is None and port.fixed not in ours:
                refuse_taken([(name, "127.0.0.1", port.fixed)], frozenset(), ipv6=False)
