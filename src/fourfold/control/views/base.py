"""The bases of all of them."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from fourfold.spec.model import Pattern

AnyPattern = Literal[Pattern, "group"]
"""What a service runs under, or `group`: a host that services of pattern shared live in."""


class View(BaseModel):
    """What is answered; built when it is first answered."""

    model_config = ConfigDict(defer_build=True, extra="forbid")


class Request(BaseModel):
    """What is asked for."""

    model_config = ConfigDict(extra="forbid")
