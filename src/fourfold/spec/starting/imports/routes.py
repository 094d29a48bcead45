"""Where services are reached from outside: one at `/`, the others each at a host of their own. Pure."""

from __future__ import annotations

from fourfold.spec.starting.imports.model import Draft, Drafted, Note

FRONT = ("web", "frontend", "front", "proxy", "nginx", "storefront", "ui", "site", "www", "app", "client", "portal")
_BELOW = 1024
"""Ports that only root may listen on."""


def expose(draft: Draft) -> None:
    """Sets `route` of what was published, and `gateway` so that the first of them is reached where it was."""
    shown = [service for service in draft.services if service.published is not None and not service.off]
    if not shown:
        return
    front = _front(draft, shown)
    for service in shown:
        port = service.published[1] if service.published else None
        if service is front:
            service.keys = _with_route(service.keys, {"path": "/"})
            continue
        service.keys = _with_route(service.keys, {"host": f"{service.name}.localhost", "path": "/"})
        service.remarks["route"] = (
            f"it was at port {port}: the gateway has one for all" if port else "a host of its own"
        )
    address, port = front.published or ("", None)
    if port is None:
        return
    if port < _BELOW:
        why = f'the gateway is at :8080; gateway: {{listen: ":{port}"}} if the daemon is root\'s'
        draft.notes.append(Note(f"{front.name}: ports", why, port))
    else:
        draft.gateway["listen"] = f"{'' if address in ('0.0.0.0', '[::]') else address}:{port}"


def _front(draft: Draft, shown: list[Drafted]) -> Drafted:
    """The one that is named like it (`web`, else `shop-web`), else the first that nobody else depends on."""
    roles = {service.name: service.name.rpartition("-")[2] for service in shown}
    named = [each for each in shown if each.name in FRONT] or [each for each in shown if roles[each.name] in FRONT]
    if named:
        return min(named, key=lambda service: FRONT.index(roles[service.name]))
    needed = {name for service in draft.services for name in service.keys.get("depends_on", ())}
    return next((service for service in shown if service.name not in needed), shown[0])


def _with_route(keys: dict[str, object], route: dict[str, str]) -> dict[str, object]:
    """`route` behind `port`, where a reader looks for it."""
    made: dict[str, object] = {}
    behind = next((key for key in ("protocol", "port", "static", "run") if key in keys), None)
    for key, value in keys.items():
        made[key] = value
        if key == behind:
            made["route"] = route
    return made if behind else {**keys, "route": route}
