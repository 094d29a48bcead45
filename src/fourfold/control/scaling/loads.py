"""What a service had to do between two looks, from counters that only grow. Pure.

A look is what the counters said of each instance; its requests are known whatever becomes of the instance meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from fourfold.plan.scaling import Load
from fourfold.store.model import InstanceRow

WARM_INTERVALS = 3
"""For so long after it got ready what an instance takes is not judged: it compiles, fills caches, makes connections."""

Run = tuple[str, int]
"""(instance, how often it was spawned): each run counts its CPU from 0."""


@dataclass(frozen=True)
class Look:
    at: float
    """Seconds, by a clock that nobody sets."""
    requests: Mapping[str, int] | None = None
    """Instance -> all that it was asked, answered or in flight; None: the gateway did not tell."""
    cpu: Mapping[Run, float] | None = None
    """Seconds, of each that is ready and warm; None: they cannot be measured here."""
    in_flight: Sequence[int] = field(default_factory=tuple)
    """Of all instances together, each time that was looked since the look before."""


def loads(before: Look, now: Look) -> dict[str, Load]:
    """Those that are known, by `plan.scaling`'s names."""
    seconds = now.at - before.at
    found = {}
    if before.requests is not None and now.requests is not None:
        asked = sum(max(0, count - before.requests.get(name, 0)) for name, count in now.requests.items())
        found["rps"] = Load(asked / seconds, 1 / seconds)
    if now.in_flight:
        found["concurrency"] = Load(sum(now.in_flight) / len(now.in_flight), 1 / len(now.in_flight))
    if before.cpu is not None and now.cpu is not None and (judged := before.cpu.keys() & now.cpu.keys()):
        found["cpu"] = Load(sum(max(0.0, now.cpu[run] - before.cpu[run]) for run in judged) / seconds)
    return found


def warm(rows: Iterable[InstanceRow], now: float, interval: float) -> list[InstanceRow]:
    """Those whose CPU is that of their work."""
    since = now - WARM_INTERVALS * interval
    return [row for row in rows if row.state == "ready" and row.ready_at is not None and row.ready_at <= since]


def coming(rows: Iterable[InstanceRow], judged: int) -> int:
    """Of those that are there to stay, how many were not judged."""
    return max(0, sum(row.state in ("starting", "ready", "unready") for row in rows) - judged)
