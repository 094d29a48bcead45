"""What cost is made of: how much traffic a service has, and what it takes under a pattern to answer it. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from fourfold.cost.comparison import Pattern

LATEST, MOST = 1e11, 1e18
"""Epoch seconds, and any other number of an hour: what is more is a mistake."""
Start = Annotated[float, Field(ge=0, lt=LATEST)]
Amount = Annotated[float, Field(ge=0, lt=MOST)]
"""Checked of hours that somebody sends."""


@dataclass(frozen=True)
class Hour:
    """Of a service's life."""

    start: Start
    """Epoch seconds."""
    requests: Amount
    cpu_seconds: Amount | None = None
    """All of it, under whatever it ran. None: nobody has measured it."""
    memory_bytes: Amount | None = None
    """Mean over the hour, of all instances together."""
    response_seconds: Amount | None = None
    """Mean of a request."""
    instances: Amount | None = None
    """Mean number over the hour."""


@dataclass(frozen=True)
class Traffic:
    """Hours in order of time, without gaps; a month is made of them by repeating."""

    hours: tuple[Hour, ...]

    @property
    def requests_per_month(self) -> float:
        """Of a month with 730 hours, as clouds bill them."""
        if not self.hours:
            return 0.0
        return sum(hour.requests for hour in self.hours) / len(self.hours) * HOURS_PER_MONTH


HOURS_PER_MONTH = 730.0
GIB = 2**30


@dataclass(frozen=True)
class Footprint:
    """What an instance takes under a pattern: measured by a comparison, or estimated from what is known of another."""

    pattern: Pattern
    memory_bytes: float
    """Of one instance under load; of pattern function, of one sandbox."""
    next_memory_bytes: float
    """Of each further one."""
    cpu_seconds_per_request: float
    seconds_per_request: float
    """From the request's arrival to its answer: what a function is billed for."""
    requests_per_second: float
    """As many as one instance can answer."""
    start_seconds: float = 0.0
    background_cores: float = 0.0
    """What an instance takes while it is asked nothing: all that a consumer of a queue takes."""
    measured: bool = True
    """Else estimated: say so wherever figures made of it are shown."""

    @property
    def works_unasked(self) -> bool:
        """More than timers and pools do."""
        return self.background_cores >= 0.01


@dataclass(frozen=True)
class Wanted:
    """What the service file asks for."""

    min_instances: int = 1
    max_instances: int | None = None
    memory_limit: int | None = None
    """Bytes: what has to be rented, whatever is used."""
    cpu_limit: float | None = None
    """Cores."""
    storage_bytes: int = 0
    """Of its artifact, on each instance that has a disk of its own."""
    job: bool = False
    """It runs to its end, and is there only meanwhile: its requests are runs."""
    members: int = 1
    """Services that share its group's process under pattern shared, itself included."""
    hosts: int | None = None
    """Of that group: one of it is in each. None: it names no group."""
    provisioned: int = 0
    """Sandboxes of a function that are always there."""
    max_sandboxes: int | None = None
    """Of a function."""

    def least(self, pattern: Pattern) -> int:
        """How many instances there always are."""
        return self.hosts if pattern == "shared" and self.hosts is not None else self.min_instances
