"""What a load generator is told, and what it tells: values only."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Request:
    method: str = "GET"
    path: str = "/"
    """With its query."""
    headers: tuple[tuple[str, str], ...] = ()
    """`Host` and `Content-Length` are added where they are missing."""
    body: bytes = b""
    weight: float = 1.0
    """How often it is asked, in proportion to the others; above 0."""

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True)
class Plan:
    """One run of the generator."""

    host: str
    """An IP address."""
    port: int
    requests: tuple[Request, ...]
    rate: float | None
    """Requests a second, due at equal distances, whatever the answers do. None: the next one on a connection as soon as
    the last was answered."""
    seconds: float
    """At most: it also ends when it is told to."""
    connections: int = 64
    """Open at once, at most. At a rate, requests that find none free wait, and the wait counts as latency."""
    timeout: float = 10.0
    """Seconds that an answer may take; then it counts as an error, with that time as its latency."""


@dataclass(frozen=True)
class Report:
    """What a run has seen. At a rate, a request counts from when it was due, not from when it could be sent: a service
    that hangs does not hide the requests that would have come meanwhile ("coordinated omission")."""

    seconds: float
    """From when the first was due until the last was answered; where none was, until it was given up."""
    requests: int = 0
    """Answered or failed."""
    errors: int = 0
    """Of those: status 500 and above or 429 (too many requests), timeouts, connections refused or closed without an
    answer."""
    refused: int = 0
    """Of those: any other status from 400 on. Answers of the service, but perhaps to wrong questions."""
    kinds: dict[str, int] = field(default_factory=dict)
    """`status 503`, `timeout`, `connection refused`, `connection closed`, `not HTTP`: how many of the errors."""
    curve: tuple[tuple[float, float], ...] = ()
    """(Share of the requests, seconds within which they were answered), at the shares of `latencies.SHARES`."""
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    """Seconds. None: there was no request."""
    cpu_seconds: float = 0.0
    """Of the generator itself."""
    late: float = 0.0
    """Seconds by which the generator itself was too late with its latest hundredth of requests, connections being free.
    That delay is in the latencies."""

    @property
    def good_per_second(self) -> float:
        """Answers without errors."""
        return (self.requests - self.errors) / self.seconds if self.seconds > 0 else 0.0
