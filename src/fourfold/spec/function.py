"""The block `function`: a handler, and what only pattern function understands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, model_validator

from fourfold.spec import fields as f
from fourfold.spec.base import Model

_SEGMENT = r"[A-Za-z0-9._~%@:+,=!()-]+|\{[A-Za-z0-9._-]+\}"
PATH_TEMPLATE = (
    r"^((GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS|ANY) )?/"
    rf"(({_SEGMENT})/)*({_SEGMENT}|\{{[A-Za-z0-9._-]+\+\}})?$"
)
PathTemplate = Annotated[
    str,
    Field(
        pattern=PATH_TEMPLATE,
        max_length=512,
        json_schema_extra={"x-is": "a path such as /orders/{id} or GET /files/{name+}, {x+} only at its end"},
    ),
]


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
    isolation: Literal["namespace", "vm"] = Field(
        default="namespace", description="What keeps a sandbox apart from others: namespaces, or a kernel of its own"
    )
    layers: list[f.InnerPath] = Field(default=[], description="Zips or folders of the source shown together at /opt")
    payload: Literal["v1", "v2"] = Field(default="v2", description="The form of HTTP events: of API Gateway v1 or v2")
    paths: list[PathTemplate] = Field(
        default=[],
        max_length=300,
        description="Routes of HTTP events: /orders/{id}, GET /files/{name+}; what is in {} are their path parameters",
    )
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

    @model_validator(mode="after")
    def _paths_are_told_apart(self) -> Function:
        seen: dict[tuple[str, str], str] = {}
        for path in self.paths:
            names = list(_parameters(path))
            if len(set(names)) < len(names):
                raise ValueError(f"paths: {path} has two parameters of one name")
            if (other := seen.setdefault(_shape(path), path)) is not path or self.paths.count(path) > 1:
                raise ValueError(f"paths: {other} and {path} are the same requests")
        return self


def _parameters(path: str) -> Iterator[str]:
    for part in path.split("/"):
        if part.startswith("{"):
            yield part[1:-1].removesuffix("+")


def _shape(path: str) -> tuple[str, str]:
    """Method, and the path without names."""
    method, _, path = path.rpartition(" ")
    parts = ("{+}" if part.endswith("+}") else "{}" if part.startswith("{") else part for part in path.split("/"))
    return method or "ANY", "/".join(parts)
