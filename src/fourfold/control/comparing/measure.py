"""Measurements of a candidate: what one round tells of it.

Whoever compares brings the candidate up, restarts, scales and deploys it (`Candidate` has how); what happens to it
meanwhile is measured here. While one is measured, the others should idle.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fourfold.control.comparing.noise import Noise
from fourfold.cost.comparison import Latency, Pattern
from fourfold.load.model import Request


@dataclass(frozen=True)
class Candidate:
    """A service under one pattern, as an app of its own."""

    app: str
    service: str
    pattern: Pattern
    port: int | None
    """Of its gateway's listener on loopback. None: the service has no port."""
    restart: Callable[[], Awaitable[None]]
    """Returns when the operation has ended; raises WorldError when it failed."""


@dataclass(frozen=True)
class LoadPlan:
    """What every candidate is asked in every round."""

    requests: tuple[Request, ...]
    rate: float
    """A second."""
    seconds: float
    saturation_seconds: float
    """For how long it is asked more than it can answer."""


@dataclass(frozen=True)
class Started:
    """Seconds. None: the service has nothing that tells (no port), or it did not answer well."""

    start_seconds: float | None
    """From the start of the instance to its first good answer."""
    operation_seconds: float
    """That the operation took: of a restart, until the new instance has all the traffic."""


@dataclass(frozen=True)
class Round:
    """Of one candidate. None: not measured, as the service has no port or this host does not let us."""

    pattern: Pattern
    start_seconds: float | None = None
    restart_seconds: float | None = None
    idle_memory_bytes: int | None = None
    loaded_memory_bytes: int | None = None
    cpu_seconds_per_1000_requests: float | None = None
    requests_per_second: float | None = None
    latency: Latency | None = None
    requests: int = 0
    errors: int = 0
    noise: Noise | None = None
    notes: tuple[str, ...] = ()
    """Of this round, in words that are the same in every round: `the load generator was the limit`."""


@dataclass(frozen=True)
class Deployed:
    seconds: float
    """Of the operation."""
    requests: int
    lost: int
    """Requests that got no good answer meanwhile: status 500 and above, or none."""
    kinds: dict[str, int]
    """`status 503`: how many of them."""


class Measuring:
    """What can be measured of candidates."""

    async def starting(self, candidate: Candidate, work: Callable[[], Awaitable[None]]) -> Started:
        """Of the instance that `work` (bring up, restart) starts; returns when both have ended."""
        raise NotImplementedError

    async def round(self, candidate: Candidate, load: LoadPlan) -> Round:
        """Restart it, look at it idle, ask it at the rate, then as much as it can answer."""
        raise NotImplementedError

    async def memory(self, candidate: Candidate) -> int | None:
        """Proportional set size of all processes of all its instances, now. More instances: call it again, and divide
        what it is more by how many they are more (`memory.each_next`)."""
        raise NotImplementedError

    async def deployed(self, candidate: Candidate, load: LoadPlan, work: Callable[[], Awaitable[None]]) -> Deployed:
        """What `work` (an operation) loses of requests at the rate, from a moment before until a moment after."""
        raise NotImplementedError
