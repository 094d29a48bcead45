"""When a schedule fires, as a state machine over stored state and a clock that people may set. Pure.

- What is due is fired once. Of times that passed while nobody looked (the daemon was down, the clock was set
  forward), the latest is made up for, if it is not older than `max_age`; the others are left out.
- A clock that is set back fires nothing again: what was fired stays fired until time has come past it. Only a clock
  that was wrong by hours (`CORRECTION`) begins anew, as cron does, or a schedule would stand still for years.
"""

from __future__ import annotations

from dataclasses import dataclass
from zoneinfo import ZoneInfo

from fourfold.spec.cron import Rate, When, next_time

CORRECTION = 3 * 3600.0
"""Seconds; cron(8) has the same."""
SHORTEST_LOOK = 60.0
"""Seconds looked back for the latest of the times that were missed; then twice as far, and so on."""


@dataclass(frozen=True)
class Memory:
    """What a schedule remembers. Epoch seconds."""

    anchor: float
    """Since when it is there: what rates count from."""
    fired: float
    """Nothing at or before this fires any more."""
    due: float | None
    """The first time after that; None: never again."""


@dataclass(frozen=True)
class Timing:
    when: When
    zone: ZoneInfo
    max_age: float

    def begin(self, now: float) -> Memory:
        """It was not there before."""
        return Memory(now, now, next_time(self.when, self.zone, now, now))

    def look(self, memory: Memory, now: float) -> tuple[Memory, float | None]:
        """What it remembers from now on, and the time that fires now. Stored together with what is fired."""
        if now < memory.fired - CORRECTION:
            return self.begin(now), None
        if memory.due is None or now < memory.due:
            return memory, None
        latest = self._latest(memory, now)
        fires = latest if now - latest <= self.max_age else None
        return Memory(memory.anchor, latest, self._next(latest, memory.anchor)), fires

    def _latest(self, memory: Memory, now: float) -> float:
        """The last time that is not later than now."""
        assert memory.due is not None
        if isinstance(self.when, Rate):
            return self._latest_of_rate(self.when.seconds, memory, now)
        latest, back = memory.due, SHORTEST_LOOK
        while now - back > memory.due:  # not one by one: it may have been due a million times
            recent = self._next(now - back, memory.anchor)
            if recent is not None and recent <= now:
                latest = recent
                break
            back *= 2
        while (following := self._next(latest, memory.anchor)) is not None and following <= now:
            latest = following
        return latest

    def _latest_of_rate(self, seconds: float, memory: Memory, now: float) -> float:
        assert memory.due is not None
        return memory.due + max(0, int((now - memory.due) // seconds)) * seconds

    def _next(self, after: float, anchor: float) -> float | None:
        return next_time(self.when, self.zone, after, anchor)
