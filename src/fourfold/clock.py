"""Time, passed in: whoever needs it takes a `Clock`, so that tests own it. Only `control` and above make a real one."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    def now(self) -> float:
        """Seconds since the epoch (UTC)."""
        ...


class SystemClock:
    """The machine's clock, but that it goes on evenly: what it is set by is followed when somebody says so.

    Else a clock that is set forward would end every wait and time out every start, and one that is set back stop them.
    """

    def __init__(self, machine: Callable[[], float] = time.time, steady: Callable[[], float] | None = None) -> None:
        """`steady` counts seconds from anywhere, also those in which the machine sleeps: CLOCK_BOOTTIME."""
        self._machine = machine
        self._steady = steady or _since_boot
        self._offset = machine() - self._steady()

    def now(self) -> float:
        return self._steady() + self._offset

    def set_by(self) -> float:
        """Seconds by which the machine's clock was set forward since it was followed last; negative: back."""
        return self._machine() - self.now()

    def follow(self) -> None:
        self._offset = self._machine() - self._steady()


def _since_boot() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def rfc3339(epoch: float) -> str:
    """`1.0` -> `1970-01-01T00:00:01Z` (milliseconds kept when there are any)."""
    moment = datetime.fromtimestamp(epoch, UTC)
    spec = "milliseconds" if moment.microsecond >= 1000 else "seconds"
    return moment.isoformat(timespec=spec).replace("+00:00", "Z")
