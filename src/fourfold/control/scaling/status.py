"""How a service's load scales it, as `status` shows it and `explain` tells it. Pure."""

from __future__ import annotations

from fourfold.clock import rfc3339
from fourfold.control.goals import count_of, pattern_of
from fourfold.control.scaling.counting import is_scaled
from fourfold.control.scaling.view import ScalingView
from fourfold.plan.scaling import Decision
from fourfold.spec.scaling import Scaling
from fourfold.store.model import ServiceRow


def scaling_view(row: ServiceRow, last: tuple[float, Decision] | None) -> ScalingView | None:
    """`last`: what was decided last, and when."""
    if row.scaling is None or row.removed:
        return None
    said = Scaling.model_validate(row.scaling)
    return ScalingView(
        min=said.min,
        max=said.max,
        per_instance=said.per_instance.targets,
        active=is_scaled(row),
        inactive_why=_inactive(row),
        since=rfc3339(row.scaled_at) if row.scaled_at is not None else None,
        why=row.scaled_why,
        now=last[1].reason if last is not None else None,
        looked_at=rfc3339(last[0]) if last is not None else None,
        asked=last[1].asked if last is not None else None,
    )


def _inactive(row: ServiceRow) -> str | None:
    pattern = pattern_of(row)
    if pattern == "shared":
        return "one of it runs in each instance of its group"
    if "instances" in row.overrides:
        return f"a command set it to {row.overrides['instances']}; `fourfold scale {row.name}=auto` lets its load say"
    if pattern == "function":
        return f"as a function it has {count_of(row)} and makes sandboxes as events need them: `function.concurrency`"
    return "it is stopped" if row.stopped else None


def falls_short(view: ScalingView) -> bool:
    """Its load is for more than it may have."""
    return view.asked is not None and view.asked > view.max


def told(view: ScalingView, name: str, count: int) -> tuple[list[str], list[str]]:
    """For `explain`: what there is to know, and what can be done."""
    targets = " and ".join(f"{value:g} {metric}" for metric, value in view.per_instance.items())
    found = [f"its load says how many there are, from {view.min} to {view.max} at {targets}"]
    if not view.active:
        return [f"its load does not say how many there are: {view.inactive_why}"], []
    if view.why:
        found.append(f"it has {count} since {view.since}: {view.why}")
    if view.now is not None:
        found.append(f"as last seen: {view.now}")
    if falls_short(view):
        found.append(f"its load is for {view.asked} instances, {view.max} is all it may have")
        return found, [f"raise instances.max of {name}"]
    return found, []
