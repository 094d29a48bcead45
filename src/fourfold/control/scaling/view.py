"""The shape in which `status` tells how a service's load scales it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class ScalingView(BaseModel):
    """Of a service whose file has `instances` as a map."""

    model_config = ConfigDict(extra="forbid")

    min: int
    max: int
    per_instance: dict[str, float]
    """`rps`, `concurrency`, `cpu` -> what one instance is to do."""
    active: bool
    """Whether its load has a say."""
    inactive_why: str | None
    since: str | None
    """When its load changed the count last."""
    why: str
    """And why."""
    now: str | None
    """What its load is, as seen last."""
    looked_at: str | None
    """When that was."""
    asked: int | None
    """How many that asks for, where steps or `max` stand between."""
