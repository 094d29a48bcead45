"""What an `up` would change, service by service, and why. Pure: `fourfold plan` prints it, `up` executes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from fourfold.control.goals import UNSCALED, clamped, desired, pattern_of
from fourfold.control.registry import Registry
from fourfold.control.views.apps import Action
from fourfold.spec.app import App
from fourfold.spec.fingerprint import changes, fingerprint, under
from fourfold.spec.model import Service
from fourfold.spec.scaling import Scaling
from fourfold.store.model import Build, ServiceRow


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
    counted: int | None = None
    """How many there are so far, for one whose load is to say how many."""

    @property
    def pattern(self) -> str:
        return str(self.overrides.get("pattern", self.spec.pattern))

    @property
    def instances(self) -> int:
        """As `goals.desired`."""
        if self.pattern == "shared":
            return 1
        if "instances" in self.overrides or self.scaling is None or self.pattern in UNSCALED:
            return int(self.overrides.get("instances", self.spec.count))
        return clamped(self.scaling, self.counted)

    @property
    def most(self) -> int:
        """How many there may be at a time."""
        scales = self.spec.scaling is not None and "instances" not in self.overrides and self.pattern not in UNSCALED
        return self.spec.most if scales else self.instances

    @cached_property
    def scaling(self) -> dict[str, Any] | None:
        """As rows have it."""
        return self.spec.scaling.model_dump(mode="json") if self.spec.scaling is not None else None


@dataclass(frozen=True)
class Change:
    service: str
    kind: Action
    reasons: tuple[str, ...] = ()
    build: bool = False
    """A release has to be made (or found) for it, or built for its pattern."""

    @property
    def deploys(self) -> bool:
        return self.kind in ("create", "deploy", "scale", "start")


def overrides_for(row: ServiceRow | None, given: dict[str, Any], reset: bool, spec: Service) -> dict[str, Any]:
    """Kept over `up` until `--reset`; what a command gives wins. What the file says too is none."""
    kept = {} if row is None or reset else row.overrides
    said = {"pattern": spec.pattern, "instances": spec.instances}
    return {key: value for key, value in (kept | given).items() if value != said.get(key)}


def change_of(registry: Registry, app: str, wish: Wish, is_there: Callable[[Build | None], bool]) -> Change:
    """What it takes to bring one service to a wish; `is_there` says whether what was built can be run."""
    key = f"{app}.{wish.name}"
    row = registry.services.get(key)
    if row is None or row.removed:
        return Change(wish.name, "create", ("new service",), build=True)
    before = fingerprint(registry.spec(key, row.release))
    reasons = changes(under(wish.pattern, before), under(wish.pattern, fingerprint(wish.spec)))
    if registry.release(key, row.release).source != wish.source:
        reasons.insert(0, "source changed")
    if wish.rebuild:
        reasons.append("built again")
    build = bool(reasons) or not is_there(registry.build(key, row.release, wish.pattern))
    if pattern_of(row) != wish.pattern:
        reasons.append(f"pattern {pattern_of(row)} -> {wish.pattern}")
    elif build and not reasons:
        reasons.append("what was built of it is lost")
    if row.secrets_digest != wish.secrets_digest:
        reasons.append("values of its secrets changed")
    deployment = registry.deployments.get(key)
    if not reasons and deployment is not None and deployment.state == "failed":
        reasons.append("its last deployment failed")
    if reasons:
        return Change(wish.name, "deploy", tuple(reasons), build)
    if row.stopped:
        return Change(wish.name, "start", ("it is stopped",))
    if desired(row) != wish.instances:
        return Change(wish.name, "scale", (f"instances {desired(row)} -> {wish.instances}",))
    if row.scaling != wish.scaling and "instances" not in wish.overrides:
        return Change(wish.name, "scale", (f"instances {_said(row)} -> {wish.spec.instances}",))
    return Change(wish.name, "keep")


def _said(row: ServiceRow) -> Scaling | int:
    return Scaling.model_validate(row.scaling) if row.scaling is not None else row.instances


def changes_of(
    registry: Registry,
    app: App,
    wishes: list[Wish],
    whole: bool,
    prune: bool,
    is_there: Callable[[Build | None], bool],
) -> list[Change]:
    """All changes; `whole`: the wishes are all services of the file, so that those no longer in it can be told."""
    found = [change_of(registry, app.app, wish, is_there) for wish in wishes]
    if whole:
        for row in registry.of_app(app.app):
            if row.name not in app.everything and not row.removed:
                found.append(Change(row.name, "remove" if prune else "not-in-file", ("not in the file any more",)))
    return found
