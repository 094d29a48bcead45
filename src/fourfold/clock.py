"""Time, passed in: whoever needs it takes a `Clock`, so that tests own it. Only `control` and above make a real one."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    def now(self) -> float:
        """Seconds since the epoch (UTC)."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        return time.time()


def rfc3339(epoch: float) -> str:
    """`1.0` -> `1970-01-01T00:00:01Z` (milliseconds kept when there are any)."""
    moment = datetime.fromtimestamp(epoch, UTC)
    spec = "milliseconds" if moment.microsecond >= 1000 else "seconds"
    return moment.isoformat(timespec=spec).replace("+00:00", "Z")
