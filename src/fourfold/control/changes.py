"""What an `up` would change, service by service, and why. Pure: `fourfold plan` prints it, `up` executes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from fourfold.control.goals import desired
from fourfold.control.registry import Registry
from fourfold.spec.fingerprint import changes, fingerprint
from fourfold.spec.model import App, Service
from fourfold.store.model import ServiceRow

Kind = Literal["create", "deploy", "scale", "restart", "start", "stop", "remove", "keep", "not-in-file"]


@dataclass(frozen=True)
class Wish:
    """One service as an `up` wants it."""

    name: str
    spec: Service
    source: str
    secrets_digest: str
    overrides: dict[str, Any] = field(default_factory=dict)
    """What it would have over the file: kept ones, or those that this command makes."""
    rebuild: bool = False
    """Build it anew, though nothing has changed."""


@dataclass(frozen=True)
class Change:
    service: str
    kind: Kind
    reasons: tuple[str, ...] = ()
    build: bool = False
    """A release has to be made (or found) for it."""

    @property
    def deploys(self) -> bool:
        return self.kind in ("create", "deploy", "scale", "start")


def overrides_for(row: ServiceRow | None, given: dict[str, Any], reset: bool) -> dict[str, Any]:
    """Kept over `up` until `--reset`; what a command gives wins."""
    kept = {} if row is None or reset else row.overrides
    return kept | given


def change_of(registry: Registry, app: str, wish: Wish, stored: Callable[[str], bool]) -> Change:
    """What it takes to bring one service to a wish; `stored` says whether an artifact is in the store."""
    key = f"{app}.{wish.name}"
    row = registry.services.get(key)
    if row is None or row.removed:
        return Change(wish.name, "create", ("new service",), build=True)
    release = registry.release(key, row.release)
    reasons = changes(release.spec, fingerprint(wish.spec))
    if release.source != wish.source:
        reasons.insert(0, "source changed")
    if wish.rebuild:
        reasons.append("built again")
    elif not reasons and not stored(release.artifact):
        reasons.append("what was built of it is lost")
    build = bool(reasons)
    if row.pattern != wish.spec.pattern:
        reasons.append(f"pattern {row.pattern} -> {wish.spec.pattern}")
    if row.secrets_digest != wish.secrets_digest:
        reasons.append("values of its secrets changed")
    deployment = registry.deployments.get(key)
    if not reasons and deployment is not None and deployment.state == "failed":
        reasons.append("its last deployment failed")
    if reasons:
        return Change(wish.name, "deploy", tuple(reasons), build)
    if row.stopped:
        return Change(wish.name, "start", ("it is stopped",))
    wanted = int(wish.overrides.get("instances", wish.spec.instances))
    if desired(row) != wanted:
        return Change(wish.name, "scale", (f"instances {desired(row)} -> {wanted}",))
    return Change(wish.name, "keep")


def changes_of(
    registry: Registry, app: App, wishes: list[Wish], whole: bool, prune: bool, stored: Callable[[str], bool]
) -> list[Change]:
    """All changes; `whole`: the wishes are all services of the file, so that those no longer in it can be told."""
    found = [change_of(registry, app.app, wish, stored) for wish in wishes]
    if whole:
        for row in registry.of_app(app.app):
            if row.name not in app.services and not row.removed:
                found.append(Change(row.name, "remove" if prune else "not-in-file", ("not in the file any more",)))
    return found
