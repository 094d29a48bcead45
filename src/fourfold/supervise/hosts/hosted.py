"""What a host says its guests take, as values: the answer to `usage` (`build/hosts/README.md`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

How = Literal["measured", "estimated", "unknown"]


@dataclass(frozen=True)
class Hosted:
    """Of one guest, since its start. None: its host cannot tell."""

    cpu_seconds: float | None = None
    cpu: How = "unknown"
    memory_bytes: int | None = None
    memory: How = "unknown"
    allocated_bytes: int | None = None
    """In all, what was freed too."""
    threads: int | None = None
    requests: int | None = None
    errors: int | None = None
    busy: int | None = None
    """Requests in progress."""
    longest: float | None = None
    """Seconds that the oldest of them has taken."""


@dataclass(frozen=True)
class HostUsage:
    guests: Mapping[str, Hosted] = field(default_factory=dict)
    heap_bytes: int | None = None
    heap_most: int | None = None


_HOW: tuple[How, ...] = ("measured", "estimated", "unknown")


def host_usage(answer: Mapping[str, Any]) -> HostUsage:
    """What makes no sense in it counts as not told: a host is not trusted."""
    guests, whole = answer.get("guests"), answer.get("whole")
    found = guests if isinstance(guests, dict) else {}
    heap = whole if isinstance(whole, dict) else {}
    return HostUsage(
        {str(name): _hosted(each) for name, each in found.items() if isinstance(each, dict)},
        _whole(heap.get("heap_bytes")),
        _whole(heap.get("heap_most")),
    )


def _hosted(fields: Mapping[str, Any]) -> Hosted:
    cpu, memory = _number(fields.get("cpu_seconds")), _whole(fields.get("memory_bytes")) or None  # none is no estimate
    return Hosted(
        cpu_seconds=cpu,
        cpu=_how(fields.get("cpu"), cpu),
        memory_bytes=memory,
        memory=_how(fields.get("memory"), memory),
        allocated_bytes=_whole(fields.get("allocated_bytes")),
        threads=_whole(fields.get("threads")),
        requests=_whole(fields.get("requests")),
        errors=_whole(fields.get("errors")),
        busy=_whole(fields.get("busy")),
        longest=_number(fields.get("longest")),
    )


def _how(said: Any, value: float | None) -> How:
    return said if value is not None and said in _HOW else "unknown"


def _number(value: Any) -> float | None:
    sensible = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 2**63
    return float(value) if sensible else None


def _whole(value: Any) -> int | None:
    number = _number(value)
    return int(number) if number is not None else None
