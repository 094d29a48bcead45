"""How many instances a service is to have, as its row says it. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fourfold.control.goals import clamped, count_of, scales
from fourfold.plan.scaling import Bounds
from fourfold.spec.scaling import Scaling
from fourfold.store.model import ServiceRow


def with_scaling(new: ServiceRow, scaling: dict[str, Any] | None, old: ServiceRow | None) -> ServiceRow:
    """As many as there are, within what the file says now: what is asked of it does not follow from a new release."""
    if scaling is None:
        return replace(new, scaling=None, scaled=None, scaled_at=None, scaled_why="")
    if old is None:
        return replace(new, scaling=scaling)
    count = clamped(scaling, count_of(old))
    if count != old.scaled:
        return replace(new, scaling=scaling, scaled=count, scaled_at=None, scaled_why="")
    return replace(new, scaling=scaling, scaled=count, scaled_at=old.scaled_at, scaled_why=old.scaled_why)


def set_to(row: ServiceRow, count: int | None, in_file: bool) -> ServiceRow:
    """By a command. None: it says nothing any more. `in_file`: the file says so from now on, whatever its load is."""
    overrides = {key: value for key, value in row.overrides.items() if key != "instances"}
    if count is None:
        freed = replace(row, overrides=overrides)
        return with_scaling(freed, row.scaling, row)  # begin with as many as there are
    if in_file:
        return with_scaling(replace(row, instances=count, overrides=overrides), None, row)
    if row.scaling is None and count == row.instances:
        return replace(row, overrides=overrides)
    return replace(row, overrides=overrides | {"instances": count})


def moved_with(new: ServiceRow, old: ServiceRow, now: ServiceRow) -> ServiceRow:
    """What was made of `old` some time ago, with what its load has asked for since."""
    if now.scaled == old.scaled:
        return new
    return replace(new, scaled=now.scaled, scaled_at=now.scaled_at, scaled_why=now.scaled_why)


def is_scaled(row: ServiceRow) -> bool:
    """Its load says how many there are, now."""
    return not (row.stopped or row.removed or "instances" in row.overrides) and scales(row) is not None


def bounds_of(scaling: dict[str, Any]) -> Bounds:
    said = Scaling.model_validate(scaling)
    targets = said.per_instance.targets
    return Bounds(said.min, said.max, targets, said.window.up, said.window.down)


def most_of(row: ServiceRow) -> int:
    """How many there may be at a time, as its file and commands say."""
    bounds = scales(row)
    return count_of(row) if bounds is None or "instances" in row.overrides else int(bounds["max"])
