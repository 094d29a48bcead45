"""How a new release takes over from the one before."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from fourfold.spec import fields as f
from fourfold.spec.base import Model


class Deploy(Model):
    """How a new release takes over."""

    strategy: Literal["rolling", "recreate"] = Field(
        default="rolling", description="rolling: new before old, no request lost; recreate: all old ones stop first"
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

    @model_validator(mode="after")
    def _can_move(self) -> Deploy:
        if self.strategy == "rolling" and self.max_surge == 0 and self.max_unavailable == 0:
            raise ValueError("max_surge and max_unavailable cannot both be 0: no instance could ever be replaced")
        return self
