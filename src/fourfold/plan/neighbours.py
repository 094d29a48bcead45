"""Looks at what the guests of one host take, over time -> which of them is a bad neighbour, and why. Pure.

A guest that is alone in its host is nobody's neighbour. What a verdict needs is the same throughout a window, so that a
burst is none; what a guest does while it warms up counts for nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

What = Literal["cpu", "memory", "stuck"]
MIB = 1024 * 1024

HALF = 0.5
"""Of the CPU that its host may use, which a guest may take even where nothing is left for the others."""
USED_UP = 0.9
"""From here on nothing is left of it."""
WINDOWS = (1, 10, 60)
"""In windows: leaks are fast or slow."""
AHEAD = 4
"""A leak is one that, going on as it did in a window, has used up all there is in so many of them."""
LEAST_GROWTH = 16 * MIB
STUCK_REQUESTS = 4
"""Fewer may be streams that are meant to last."""


@dataclass(frozen=True, slots=True)
class Bounds:
    window: float = 30.0
    """Seconds."""
    cpu: float = 0.5
    """Cores that a guest may take throughout a window in which it answers next to nothing."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a guest has taken since its start. None: nobody can tell."""

    at: float
    cpu_seconds: float | None = None
    memory_bytes: int | None = None
    allocated_bytes: int | None = None
    answered: int = 0
    """Requests."""
    busy: int = 0
    """Requests in progress."""
    longest: float = 0.0
    """Seconds that the oldest of them has taken."""


@dataclass(frozen=True, slots=True)
class Guest:
    id: str
    looks: tuple[Look, ...]
    """Of one run, oldest first."""
    room: int | None = None
    """Bytes that it may still take before there are none left; None: it is not known."""


@dataclass(frozen=True, slots=True)
class Host:
    guests: tuple[Guest, ...]
    cores: float
    """That it may use, with all its guests."""
    heap: tuple[tuple[float, int], ...] = ()
    """(when, bytes), oldest first: where the guests' own memory is not known. Up and down, as a collector works."""
    heap_most: int | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    guest: str
    what: What
    said: str
    """What it does, as the end of a sentence that begins with its name."""
    weight: float
    """Of two, the one to act on is the heavier."""


Onset = tuple[str, What]
"""(guest, what)."""


def judge(host: Host, now: float, bounds: Bounds) -> list[Verdict]:
    """Heaviest first."""
    if len(host.guests) < 2:
        return []
    found: list[Verdict | None] = []
    for guest in host.guests:
        found += [_cpu(host, guest, now, bounds), _memory(guest, now, bounds), _stuck(guest, now, bounds)]
    found.append(_heap(host, now, bounds))
    return sorted((each for each in found if each is not None), key=lambda each: -each.weight)


def onsets(
    known: Mapping[Onset, float], verdicts: Iterable[Verdict], now: float, calm: float
) -> tuple[dict[Onset, float], list[Verdict]]:
    """What is wrong, with when it last was, and which of it is new: it was not so for `calm` seconds."""
    lasting = {onset: at for onset, at in known.items() if now - at < calm}
    fresh = []
    for verdict in verdicts:
        if (onset := (verdict.guest, verdict.what)) not in lasting:
            fresh.append(verdict)
        lasting[onset] = now
    return lasting, fresh


def kept(looks: Sequence[Look], now: float, bounds: Bounds) -> tuple[Look, ...]:
    """Without those that no verdict needs: of what is long ago, a few of each window are enough."""
    found: list[Look] = []
    oldest = now - (max(WINDOWS) + 2) * bounds.window
    for look in looks:
        if look.at < oldest:
            continue
        recent = look.at >= now - 3 * bounds.window
        if recent or not found or look.at - found[-1].at >= bounds.window:
            found.append(look)
    return tuple(found)


# -- CPU ----------------------------------------------------------------------------------------------------------


def _cpu(host: Host, guest: Guest, now: float, bounds: Bounds) -> Verdict | None:
    looks = _window(guest.looks, now - bounds.window)
    rates = _rates(looks)
    if not rates:
        return None
    seconds, least = looks[-1].at - looks[0].at, min(rates)
    taken = _taken(looks)
    answered = looks[-1].answered - looks[0].answered
    whole = sum(_taken(_window(each.looks, now - bounds.window)) for each in host.guests) / seconds
    if least >= HALF * host.cores and whole >= USED_UP * host.cores:
        share, of = round(100 * taken / seconds / host.cores), _cores(host.cores)
        said = f"takes {share} % of what its group may use of the CPU ({of}), for {seconds:.0f} s now"
        return Verdict(guest.id, "cpu", f"{said}; nothing is left for the others", 2 + taken / seconds)
    if least >= min(bounds.cpu, USED_UP * host.cores) and answered < taken:
        what = f"{answered} requests" if answered != 1 else "1 request"
        said = f"spins: {taken:.1f} s of CPU in {seconds:.0f} s, and {what} answered"
        return Verdict(guest.id, "cpu", said, 2 + taken / seconds)
    return None


def _cores(count: float) -> str:
    return "1 core" if count == 1 else f"{count:g} cores"


def _rates(looks: Sequence[Look]) -> list[float]:
    """Cores, from look to look; empty when they are not known throughout."""
    known = [(look.at, look.cpu_seconds) for look in looks if look.cpu_seconds is not None]
    if len(known) < max(3, len(looks)):
        return []
    return [(b - a) / (after - before) for (before, a), (after, b) in pairwise(known) if after > before]


def _taken(looks: Sequence[Look]) -> float:
    if not looks or looks[0].cpu_seconds is None or looks[-1].cpu_seconds is None:
        return 0.0
    return looks[-1].cpu_seconds - looks[0].cpu_seconds


# -- memory -------------------------------------------------------------------------------------------------------


def _memory(guest: Guest, now: float, bounds: Bounds) -> Verdict | None:
    settled = _settled(guest, bounds)
    known = [(look.at, look.memory_bytes) for look in settled if look.memory_bytes is not None]
    for span in (bounds.window * times for times in WINDOWS):
        growth = _growth(known, now, span)
        if growth is None or guest.room is None:
            continue
        left = guest.room / growth.pace
        if left <= AHEAD * span:
            said = f"leaks: {growth}; at this pace no memory is left in {_time(left)}"
            return Verdict(guest.id, "memory", said, 3 + growth.pace / MIB)
    return None


def _heap(host: Host, now: float, bounds: Bounds) -> Verdict | None:
    """Where only the heap of all is known, it is put down to who allocates most."""
    if host.heap_most is None or any(look.memory_bytes is not None for each in host.guests for look in each.looks[-1:]):
        return None
    lows = [after for before, after in pairwise(host.heap) if after[1] < before[1]]
    for span in (bounds.window * times for times in WINDOWS):
        growth = _growth(lows, now, span)
        if growth is None or (left := (host.heap_most - growth.now) / growth.pace) > AHEAD * span:
            continue
        allocated = {each.id: _allocated(_window(_settled(each, bounds), now - span)) for each in host.guests}
        most, whole = max(allocated, key=lambda id: allocated[id]), sum(allocated.values())
        if whole and allocated[most] >= HALF * whole:
            said = (
                f"leaks, it seems: the heap of its group {str(growth).removeprefix('it ')}, and it has allocated "
                f"{round(100 * allocated[most] / whole)} % of it; at this pace no heap is left in {_time(left)}"
            )
            return Verdict(most, "memory", said, 3 + growth.pace / MIB)
    return None


def _settled(guest: Guest, bounds: Bounds) -> list[Look]:
    """Without its first window: a program that warms up grows."""
    return [look for look in guest.looks if look.at >= guest.looks[0].at + bounds.window]


def _allocated(looks: Sequence[Look]) -> int:
    if not looks:
        return 0
    return (looks[-1].allocated_bytes or 0) - (looks[0].allocated_bytes or 0)


@dataclass(frozen=True)
class _Growth:
    before: int
    now: int
    seconds: float

    @property
    def pace(self) -> float:
        """Bytes per second."""
        return (self.now - self.before) / self.seconds

    def __str__(self) -> str:
        return f"it has grown from {self.before // MIB} to {self.now // MIB} MiB in {_time(self.seconds)}"


def _growth(values: Sequence[tuple[float, int]], now: float, span: float) -> _Growth | None:
    """Steady growth over a window: the least of each third of it rises, and the second rise is no mere rest."""
    begin = now - span
    if not values or values[0][0] > begin + span / 6:
        return None
    lows = []
    for third in range(3):
        low, high = begin + third * span / 3, begin + (third + 1) * span / 3
        within = [size for at, size in values if low <= at <= high]
        if not within:
            return None
        lows.append(min(within))
    first, second, third = lows
    if not first < second < third or third - first < LEAST_GROWTH or third - second < (second - first) / 2:
        return None
    return _Growth(first, third, span * 2 / 3)


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


# -- what does not move --------------------------------------------------------------------------------------------


def _stuck(guest: Guest, now: float, bounds: Bounds) -> Verdict | None:
    looks = _window(guest.looks, now - bounds.window)
    if len(looks) < 3 or min(look.busy for look in looks) < STUCK_REQUESTS:
        return None
    if looks[-1].answered > looks[0].answered or looks[-1].longest < bounds.window:
        return None
    busy, longest = looks[-1].busy, _time(looks[-1].longest)
    said = f"is stuck: {busy} requests wait in it, the oldest for {longest}, and none was answered"
    return Verdict(guest.id, "stuck", said, 1 + busy / 1000)


def _window(looks: Sequence[Look], begin: float) -> Sequence[Look]:
    """From the last look at `begin` or before; nothing when there is none from then."""
    first = max((place for place, look in enumerate(looks) if look.at <= begin), default=None)
    return looks[first:] if first is not None else ()
