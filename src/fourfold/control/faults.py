"""Faults to order, for the tests that kill the daemon at every step, or set its clock: it must live with both.

`FOURFOLD_FAULT_COMMIT=7` ends the daemon with SIGKILL right after its seventh commit, `-7` right before that.
`FOURFOLD_FAULT_CLOCK=FILE`: the machine's clock is wrong by as many seconds as the file says at the time.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path

from fourfold.clock import SystemClock


class Faults:
    def __init__(self, environ: Mapping[str, str]) -> None:
        self._at = int(environ.get("FOURFOLD_FAULT_COMMIT", "0"))
        self._commits = 0

    def committing(self) -> None:
        self._commits += 1
        if self._commits == -self._at:
            os.kill(os.getpid(), signal.SIGKILL)

    def committed(self) -> None:
        if self._commits == self._at:
            os.kill(os.getpid(), signal.SIGKILL)


def clock_of(environ: Mapping[str, str]) -> SystemClock:
    if (told := environ.get("FOURFOLD_FAULT_CLOCK")) is None:
        return SystemClock()
    file = Path(told)
    return SystemClock(lambda: time.time() + float(file.read_text()))
