"""What advice is asked for."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from fourfold.control.views import Request
from fourfold.cost.advice.source import Source
from fourfold.cost.model import Hour

MOST_SERVICES = 1000


def _few(usage: Any) -> Any:
    """Before its hours are looked at: of each service the first that is wrong is told."""
    if isinstance(usage, dict) and len(usage) > MOST_SERVICES:
        raise ValueError(f"there are more than {MOST_SERVICES:,} services")
    return usage


class AdviceRequest(Request):
    spec: dict[str, Any] | None = None
    """A service file, as `up` takes it; null: what runs."""
    services: list[str] | None = None
    """Null: all."""
    sources: dict[str, Source] = Field(default={})
    """Of the file: service -> what its source shows."""
    digests: dict[str, str] = Field(default={})
    """Of the file: service -> digest of its source. Those that the store has tell what builders refuse."""
    assume: dict[str, str] = Field(default={})
    """Fact -> its value, whatever is known: `{"untrusted": "yes"}`."""
    usage: Annotated[dict[str, Annotated[list[Hour], Field(fail_fast=True)]], BeforeValidator(_few)] = Field(default={})
    """Of services: exported hours, in order and without gaps, in place of what the daemon has recorded."""
    file: str | None = None
    """What the caller gave with -f, for the commands in the answer."""
