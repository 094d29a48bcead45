"""How a new release takes over from the one before."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from fourfold.spec import fields as f
from fourfold.spec.base import Model

STAGED = ("blue-green", "canary")
"""Strategies under which the old release stays whole until the new one is promoted."""


class Step(Model):
    """One step of a canary."""

    weight: f.Whole = Field(ge=1, le=99, description="Percent of the requests that the new release gets")
    pause: f.Duration | None = Field(
        default=None, ge=0, description="How long; left out: until `fourfold deploy SERVICE --promote`"
    )


STEPS = (Step(weight=5, pause=60.0), Step(weight=25, pause=60.0), Step(weight=50, pause=60.0))


class Deploy(Model):
    """How a new release takes over."""

    strategy: Literal["rolling", "recreate", "blue-green", "canary"] = Field(
        default="rolling",
        description="rolling: new before old, no request lost; recreate: all old ones stop first; blue-green: all new "
        "ones beside all old ones, then a switch; canary: a growing part of the requests",
    )
    steps: list[Step] = Field(
        default=[], max_length=50, description="Of a canary; left out: 5, 25 and 50 percent, for a minute each"
    )
    promote: Literal["auto", "manual"] = Field(
        default="auto", description="Of blue-green. auto: switch when all are ready; manual: on `--promote`"
    )
    min_requests: f.Whole = Field(
        default=20, ge=0, le=1_000_000, description="Requests that a canary must have had before it gets more"
    )
    max_errors: f.Part = Field(
        default=0.05, ge=0, le=1, description="The part of a canary's requests that may fail, unless as many of the old"
    )
    max_surge: f.Whole = Field(default=1, ge=0, le=10_000, description="Instances beyond the count meanwhile")
    max_unavailable: f.Whole = Field(default=0, ge=0, le=10_000, description="Instances that may be missing meanwhile")
    min_ready: f.Duration = Field(default=0.0, ge=0, description="How long an instance must stay ready to count")
    timeout: f.Duration = Field(default=60.0, gt=0, description="Without progress for this long a deployment fails")
    rollback: Literal["auto", "off"] = Field(default="auto", description="auto: a failed deployment goes back")
    before: f.Command | None = Field(default=None, description="Run once per release; failure stops the deploy")

    @field_validator("rollback", mode="before")
    @classmethod
    def _off(cls, value: Any) -> Any:
        return "off" if value is False else value  # YAML 1.1 writers turn off into false

    @field_validator("steps")
    @classmethod
    def _grow(cls, value: list[Step]) -> list[Step]:
        weights = [step.weight for step in value]
        if weights != sorted(set(weights)):
            raise ValueError(f"each step must have a greater weight than the one before, got {_listed(weights)}")
        return value

    @model_validator(mode="after")
    def _can_move(self) -> Deploy:
        if self.strategy != "recreate" and self.max_surge == 0 and self.max_unavailable == 0:
            raise ValueError("max_surge and max_unavailable cannot both be 0: no instance could ever be replaced")
        return self

    @model_validator(mode="after")
    def _only_what_its_strategy_knows(self) -> Deploy:
        """As dumps name every key, those that are as ever are no contradiction."""
        for key, strategy in STAGED_KEYS.items():
            if self.strategy != strategy and getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(f"`{key}` is for the strategy {strategy}, not {self.strategy}")
        return self

    @property
    def stages(self) -> tuple[Step, ...]:
        """Of a canary."""
        return tuple(self.steps) or STEPS


STAGED_KEYS = {"steps": "canary", "min_requests": "canary", "max_errors": "canary", "promote": "blue-green"}
"""Key -> the strategy that it is for."""


def _listed(weights: list[int]) -> str:
    return ", ".join(map(str, weights))
