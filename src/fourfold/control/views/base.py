"""The bases of all of them."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class View(BaseModel):
    """What is answered; built when it is first answered."""

    model_config = ConfigDict(defer_build=True, extra="forbid")


class Request(BaseModel):
    """What is asked for."""

    model_config = ConfigDict(extra="forbid")
