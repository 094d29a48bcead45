"""Which service has which route now, by rows alone: users see new routes only once what is behind them is there.

While a service is deployed it keeps the routes of the release it had; those of the new one come with the deployment's
end. A route that goes from one service to another in one operation stays where it was until the other's deployment is
done, and if that fails, for good.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum

from fourfold.control.registry import Registry
from fourfold.errors import NotFoundError
from fourfold.gateway import naming
from fourfold.spec.gateway import Gateway, Route
from fourfold.store.model import Deployment, ServiceRow

REPLACES = "replaces"
"""In an app's stored gateway: the one before, and the operation that replaces it."""


class Rank(IntEnum):
    """Where two services claim one route, the lower rank has it."""

    KEPT = 0
    """It had the route, and it is to have it."""
    GAINED = 1
    """Its deployment is done: it is there to take the requests."""
    GIVEN_UP = 2
    """It has the route until another can take it."""
    FIRST = 3
    """Its first deployment goes on, or failed: nothing of it is ready, but "not ready" says more than "not found"."""


@dataclass(frozen=True)
class Claim:
    key: str
    route: Route
    rank: Rank


def overlap(one: Route, other: Route) -> bool:
    same = (one.host, one.path.rstrip("/")) == (other.host, other.path.rstrip("/"))
    return same and (not one.methods or not other.methods or bool(set(one.methods) & set(other.methods)))


def among(route: Route, routes: Iterable[Route]) -> bool:
    return any(overlap(route, other) for other in routes)


def wanted(registry: Registry, row: ServiceRow) -> list[Route]:
    """The routes that a service is to have in the end."""
    return [] if row.removed else registry.spec(f"{row.app}.{row.name}", row.release).route


def before(registry: Registry, key: str) -> list[Route]:
    """The routes that a service had before its last deployment."""
    deployment = registry.deployments.get(key)
    if deployment is None or not deployment.previous:
        return []
    try:
        return registry.spec(key, deployment.previous["release"]).route
    except NotFoundError:  # it ended long ago, and that release has been forgotten
        return []


def gateway_of(registry: Registry, app: str) -> Gateway:
    """Where an app is reached now: a new address comes when all is deployed of the `up` that asks for it."""
    stored = dict(registry.apps[app].gateway)
    replaced = stored.pop(REPLACES, None)
    if replaced is not None:
        mates = (each for each in registry.deployments.values() if each.operation == replaced["operation"])
        if any(each.state != "done" for each in mates):
            stored = replaced["gateway"]
    return Gateway.model_validate(stored)


def served(registry: Registry) -> dict[str, list[Route]]:
    """Service -> the routes that the gateway gives it now."""
    addresses = {name: naming.listen(gateway_of(registry, name).listen) for name in registry.apps}
    taken: dict[tuple[object, ...], list[Claim]] = defaultdict(list)
    found: dict[str, list[Route]] = defaultdict(list)
    unsettled = _unsettled(registry)
    claims = (claim for row in registry.services.values() for claim in _claims(registry, row, unsettled))
    for claim in sorted(claims, key=lambda claim: (claim.rank, claim.key)):
        address = addresses[claim.key.partition(".")[0]]
        place = taken[address, claim.route.host, claim.route.path.rstrip("/")]
        if not any(other.key != claim.key and overlap(claim.route, other.route) for other in place):
            place.append(claim)
            found[claim.key].append(claim.route)
    return found


def _unsettled(registry: Registry) -> dict[str, dict[str, list[Route]]]:
    """Operation -> service -> the routes it is to get, of deployments that go on or did not end well."""
    found: dict[str, dict[str, list[Route]]] = defaultdict(dict)
    for key, deployment in registry.deployments.items():
        if deployment.state != "done":
            found[deployment.operation][key] = _target(registry, key, deployment)
    return found


def _target(registry: Registry, key: str, deployment: Deployment) -> list[Route]:
    return [] if registry.services[key].removed else registry.spec(key, deployment.release).route


def _claims(registry: Registry, row: ServiceRow, unsettled: Mapping[str, Mapping[str, list[Route]]]) -> Iterator[Claim]:
    key = f"{row.app}.{row.name}"
    wants, deployment = wanted(registry, row), registry.deployments.get(key)
    if deployment is None or deployment.operation not in unsettled:
        yield from (Claim(key, route, Rank.KEPT) for route in wants)
        return
    had = before(registry, key)
    if deployment.state in ("running", "failed"):
        if not deployment.previous:
            yield from (Claim(key, route, Rank.FIRST) for route in wants)
        for route in had:
            yield Claim(key, route, Rank.KEPT if among(route, wants) else Rank.GIVEN_UP)
        return
    for route in wants:
        yield Claim(key, route, Rank.GAINED if deployment.state == "done" and not among(route, had) else Rank.KEPT)
    others = [route for other, routes in unsettled[deployment.operation].items() if other != key for route in routes]
    for route in had:
        if not among(route, wants) and among(route, others):
            yield Claim(key, route, Rank.GIVEN_UP)


def successors(registry: Registry) -> dict[str, tuple[str, ...]]:
    """Service that gives routes up -> those of the same operation that get them; it stays as it is until they serve.

    Where that would be waiting in a circle (two services swap routes) one goes ahead.
    """
    together: dict[str, list[str]] = defaultdict(list)
    for key, deployment in registry.deployments.items():
        together[deployment.operation].append(key)
    found: dict[str, tuple[str, ...]] = {}
    for key, deployment in registry.deployments.items():
        if deployment.state != "running" or not deployment.previous or len(together[deployment.operation]) < 2:
            continue
        wants = wanted(registry, registry.services[key])
        given = [route for route in before(registry, key) if not among(route, wants)]
        heirs = (other for other in together[deployment.operation] if other != key and given)
        found[key] = tuple(
            heir
            for heir in heirs
            if any(among(route, given) for route in _target(registry, heir, registry.deployments[heir]))
            and not _waits_for(registry, heir, key, found)
        )
    return {key: heirs for key, heirs in found.items() if heirs}


def _waits_for(registry: Registry, key: str, other: str, found: Mapping[str, tuple[str, ...]]) -> bool:
    seen, left = set[str](), [key]
    while left:
        if (at := left.pop()) == other:
            return True
        if at not in seen and (row := registry.services.get(at)) is not None:
            seen.add(at)
            left += [*(f"{row.app}.{name}" for name in row.depends_on), *found.get(at, ())]
    return False
