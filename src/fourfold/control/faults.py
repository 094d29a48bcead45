"""Faults to order, for the tests that kill the daemon at every step: it must be able to die anywhere.

`FOURFOLD_FAULT_COMMIT=7` ends the daemon with SIGKILL right after its seventh commit, `-7` right before that.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping


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
