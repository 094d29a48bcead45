"""What a load generator is told, and what it tells: values that go over its standard input and output as JSON."""

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
    """How often it is asked, in proportion to the others."""

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
    """At most: it ends when its standard input does."""
    connections: int = 64
    """That may be open at once. At a rate, requests that find none free wait, and the wait counts as latency."""
    timeout: float = 10.0
    """Seconds that an answer may take; then it counts as an error, with that time as its latency."""


@dataclass(frozen=True)
class Report:
    """What a run has seen. A request counts from when it was due, not from when it was sent (coordinated omission)."""

    seconds: float
    """From when the first was due until the last was answered."""
    requests: int = 0
    """Answered or failed."""
    errors: int = 0
    """Of those: status 500 and above, timeouts, connections refused or closed without an answer."""
    refused: int = 0
    """Of those answered: status 400 to 499. Not errors of the service, but perhaps of what it is asked."""
    kinds: dict[str, int] = field(default_factory=dict)
    """`status 503`, `timeout`, `connection refused`, `connection closed`: how many of the errors."""
    curve: tuple[tuple[float, float], ...] = ()
    """(Share of the requests, seconds within which they were answered), rising in both; the last has share 1."""
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    """Seconds. None: no request was answered."""
    cpu_seconds: float = 0.0
    """Of the generator itself."""
    late: float = 0.0
    """Seconds by which a hundredth of the requests was sent too late by the generator itself, connections being free:
    its own delay, which is in the latencies."""

    @property
    def rate(self) -> float:
        """Good answers a second."""
        return (self.requests - self.errors) / self.seconds if self.seconds > 0 else 0.0
