"""A selector loop with timers: all that a single-threaded parent needs."""

from __future__ import annotations

import heapq
import itertools
import os
import selectors
import signal
import sys
import time
from collections.abc import Callable

Callback = Callable[[], None]


class Loop:
    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, Callback]] = []
        self._order = itertools.count()

    def watch(self, fd: int, callback: Callback) -> None:
        """Call back whenever `fd` is readable."""
        self._selector.register(fd, selectors.EVENT_READ, callback)

    def watch_both(self, fd: int, callback: Callback, writing: bool) -> None:
        """Change an existing watch: also call back when `fd` can be written to."""
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if writing else 0)
        self._selector.modify(fd, events, callback)

    def unwatch(self, fd: int) -> None:
        self._selector.unregister(fd)

    def after(self, seconds: float, callback: Callback) -> None:
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._order), callback))

    def once(self) -> None:
        """Wait for the next thing to happen, and let it."""
        wait = max(self._timers[0][0] - time.monotonic(), 0.0) if self._timers else None
        ready = self._selector.select(wait)
        watched = self._selector.get_map()
        for key, _ in ready:
            if key.fd in watched:  # not if an earlier callback of this round has closed it
                _safely(key.data)
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            _safely(heapq.heappop(self._timers)[2])


def _safely(callback: Callback) -> None:
    """A mistake in one callback must not end the parent of everything: it is told on stderr."""
    try:
        callback()
    except Exception:
        sys.excepthook(*sys.exc_info())


def child_exits() -> int:
    """-> an fd that becomes readable when a child has ended."""
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    return reader
