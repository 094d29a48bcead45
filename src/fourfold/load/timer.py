"""A clock that ticks at a rate, to within some 50 µs: timers of event loops are only good to a millisecond."""

from __future__ import annotations

import ctypes
import os
import sys
import time

_ABSOLUTE = 1
"""TFD_TIMER_ABSTIME of timerfd_create(2)."""


class _Time(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Timer(ctypes.Structure):
    _fields_ = (("interval", _Time), ("first", _Time))


class Ticks:
    """timerfd_create(2): a descriptor that can be read once ticks have come. OSError."""

    def __init__(self, rate: float) -> None:
        """The first tick comes at once."""
        self.interval = 1 / rate
        self.start = time.monotonic() + 0.001
        self._count = 0
        libc = ctypes.CDLL(None, use_errno=True)
        self.fd = libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        timer = _Timer(_time(self.interval), _time(self.start))
        if self.fd < 0 or libc.timerfd_settime(self.fd, _ABSOLUTE, ctypes.byref(timer), None) < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def due(self) -> list[float]:
        """When the ticks were due (monotonic seconds) that have come since the last call."""
        try:
            count = int.from_bytes(os.read(self.fd, 8), sys.byteorder)
        except BlockingIOError:
            return []
        first, self._count = self._count, self._count + count
        return [self.start + number * self.interval for number in range(first, first + count)]

    def close(self) -> None:
        os.close(self.fd)


def _time(seconds: float) -> _Time:
    return _Time(int(seconds), max(1, int(seconds % 1 * 1e9)))
