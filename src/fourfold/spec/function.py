"""The block `function`: a handler, and what only pattern function understands."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from fourfold.spec import fields as f
from fourfold.spec.base import Model


class Function(Model):
    """A handler, and what only pattern function understands."""

    handler: str | None = Field(
        default=None,
        pattern=r"^[^\s]{1,128}$",
        json_schema_extra={"x-is": "a handler: module.function, file.export, package.Class::method"},
        description="What takes the events: app.handler. Without it, HTTP requests reach the program that `run` starts",
    )
    timeout: f.Duration = Field(default=3.0, gt=0, description="How long one event may take; its sandbox is then ended")
    concurrency: f.Whole = Field(default=10, ge=0, le=1000, description="Sandboxes, and so events, at once; 0: none")
    provisioned: f.Whole = Field(default=0, ge=0, le=1000, description="Sandboxes that wait, ready, for events")
    queue: f.Whole = Field(default=1000, ge=0, le=100_000, description="Events that may wait for a sandbox; then 429")
    idle: f.Duration = Field(default=600.0, gt=0, description="A sandbox without an event for this long is ended")
    preload: Literal["none", "modules", "handler"] = Field(
        default="modules",
        description="What a new Python sandbox finds imported: what the handler imports, the handler too, or nothing",
    )
    tmp: f.Size = Field(default=512 * 1024 * 1024, ge=1024 * 1024, description="Bytes that a sandbox's /tmp holds")
    layers: list[f.InnerPath] = Field(default=[], description="Zips or folders of the source shown together at /opt")
    payload: Literal["v1", "v2"] = Field(default="v2", description="The form of HTTP events: of API Gateway v1 or v2")
    retries: f.Whole = Field(default=2, ge=0, le=2, description="Of asynchronous events that failed: after 1 and 2 min")
    max_age: f.Duration = Field(
        default=21_600.0, ge=60, le=21_600, description="Asynchronous events older than this are given up"
    )
    on_failure: str | None = Field(
        default=None, min_length=1, description="Where events that were given up go: a service, or an SQS queue"
    )

    @model_validator(mode="after")
    def _provisioned_are_sandboxes(self) -> Function:
        if self.provisioned > self.concurrency:
            raise ValueError(f"provisioned ({self.provisioned}) is more than concurrency ({self.concurrency})")
        return self
