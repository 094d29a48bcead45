"""The block `shared` of a service: which group it lives in, and how."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from fourfold.spec import fields as f
from fourfold.spec.base import Model

Kind = Literal["tomcat", "osgi", "node", "python"]
"""What the members of a group share."""


class Shared(Model):
    """What only pattern shared understands."""

    group: f.Name | None = Field(default=None, description="The group that it lives in")
    app: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*(\(\))?$",
        json_schema_extra={"x-is": "module:attribute, or module:factory()"},
        description="In a Python process: its ASGI or WSGI app. Found in `run` when that starts uvicorn or gunicorn",
    )
    on_abuse: Literal["warn", "evict"] = Field(
        default="warn",
        description="When it leaks, spins or blocks: say so, or give it a process of its own",
    )
    allow_shared: bool = Field(
        default=False, description="It may have secrets although other members of its process could read them"
    )
    kind: SkipJsonSchema[Kind | None] = Field(default=None)
    """Its group's, which the daemon puts in: what is built of it depends on that. Not for files."""
    mode: SkipJsonSchema[Literal["mounted", "forked"]] = Field(default="mounted")
    """Likewise."""
