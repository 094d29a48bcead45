"""What an `up` must be refused for, before anything changes. Raises UserError (exit code 2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fourfold.control.registry import Registry, key_of
from fourfold.control.settings import Settings
from fourfold.control.status import route_text
from fourfold.errors import NotFoundError, UserError
from fourfold.gateway.listening import refuse_taken
from fourfold.launch.model import Powers
from fourfold.launch.process import refuse_impossible
from fourfold.spec.model import App, Gateway, Route
from fourfold.spec.parse import parse_json
from fourfold.store.model import ServiceRow


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


def check_routes(registry: Registry, app: App, names: list[str], prune: bool) -> None:
    """What goes on running beside these services must not have their routes, nor their address another certificate."""
    mine = [(name, route) for name in names for route in app.services[name].route]
    for key, row in registry.services.items():
        own = row.app == app.app
        if row.removed or (own and (row.name in names or (prune and row.name not in app.services))):
            continue
        gateway = app.gateway if own else Gateway.model_validate(registry.apps[row.app].gateway)
        if gateway.listen != app.gateway.listen:
            continue
        if not own:
            _check_certificates(app.gateway, gateway, row.app)
        for theirs in registry.spec(key, row.release).route:
            for name, route in mine:
                if _overlap(route, theirs):
                    raise UserError(
                        f"cannot route {route_text(route)} to {name}: {key_of(row)} has it on {gateway.listen}",
                        _way_out(app, row),
                    )


def _way_out(app: App, row: ServiceRow) -> str:
    if row.app != app.app:
        return "give one of them another host, path or method, or this app another gateway.listen"
    if row.name not in app.services:
        return f"{row.name} is not in the file any more: `fourfold up --prune` removes it"
    return f"deploy {row.name} too, or give one of them another path"


def _check_certificates(wanted: Gateway, other: Gateway, owner: str) -> None:
    if other.tls is not None and wanted.tls is not None and other.tls != wanted.tls:
        raise UserError(
            f"cannot listen on {wanted.listen} with this certificate: app {owner} uses another there",
            "give this app another gateway.listen",
        )


def _overlap(one: Route, other: Route) -> bool:
    same = (one.host, one.path.rstrip("/")) == (other.host, other.path.rstrip("/"))
    return same and (not one.methods or not other.methods or bool(set(one.methods) & set(other.methods)))


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
