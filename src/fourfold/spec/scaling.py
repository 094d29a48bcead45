"""`instances` as a map: as many as their load asks for."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Discriminator, Field, Tag, model_validator

from fourfold.spec import fields as f
from fourfold.spec.base import Model
from fourfold.spec.units import format_duration

MOST_INSTANCES = 10_000
TOLERANCE = 0.1
"""The load may be so much more or less than the instances are for, before there are more or fewer of them."""
_METRICS = ("rps", "concurrency", "cpu")


class PerInstance(Model):
    """What one instance is to do. Of several the one that asks for most instances counts."""

    rps: f.Number | None = Field(default=None, gt=0, le=100_000, description="Requests per second")
    concurrency: f.Number | None = Field(default=None, gt=0, le=100_000, description="Requests in flight, on average")
    cpu: f.Number | None = Field(default=None, gt=0, le=1024, description="Cores: 0.5 is half of one")

    @property
    def targets(self) -> dict[str, float]:
        """Those that are given."""
        return {name: value for name in _METRICS if (value := getattr(self, name)) is not None}

    @model_validator(mode="after")
    def _says_something(self) -> PerInstance:
        if not self.targets:
            raise ValueError(f"give one of {', '.join(_METRICS)}, such as {{rps: 50}}")
        return self


class Window(Model):
    """How long the load must stay like that before the count follows."""

    up: f.Duration = Field(default=0.0, ge=0, le=3600, description="Before there are more; 0s is at once")
    down: f.Duration = Field(default=300.0, ge=0, le=3600, description="Before there are fewer")


class Scaling(Model):
    """Between `min` and `max` instances, as many as their load asks for."""

    model_config = ConfigDict(json_schema_extra={"x-is": "a map such as {min: 2, max: 8, per_instance: {rps: 50}}"})

    min: f.Whole = Field(default=1, ge=1, le=MOST_INSTANCES, description="There are always so many")
    max: f.Whole = Field(ge=1, le=MOST_INSTANCES, description="And never more")
    per_instance: PerInstance = Field(description="What one of them is to do")
    window: Window = Field(default=Window(), description="How long the load must stay like that")

    def __str__(self) -> str:
        """`2-8 at 50 rps`: as changes are told."""
        targets = " and ".join(f"{value:g} {name}" for name, value in self.per_instance.targets.items())
        window = self.window
        durations = f" after {format_duration(window.up)}/{format_duration(window.down)}" if window != Window() else ""
        return f"{self.min}-{self.max} at {targets}{durations}"

    @model_validator(mode="after")
    def _in_order(self) -> Scaling:
        if self.min > self.max:
            raise ValueError(f"min ({self.min}) is greater than max ({self.max})")
        return self


def _form(value: Any) -> str:
    return "map" if isinstance(value, dict | Scaling) else "number"


Instances = Annotated[
    Annotated[f.Whole, Field(ge=0, le=MOST_INSTANCES), Tag("number")] | Annotated[Scaling, Tag("map")],
    Discriminator(_form),
]
