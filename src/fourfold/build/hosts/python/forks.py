"""Children that apps fork, as multiprocessing does: they are ended by TERM, whatever it means to their parent."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable


def install(also: Callable[[], object] = lambda: None) -> None:
    """`also` is called in each child."""

    def forked() -> None:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        also()
        _take()

    os.register_at_fork(before=_hold, after_in_parent=_take, after_in_child=forked)


def _hold() -> None:
    """Of the thread that forks, so that what comes for the child is not taken by its parent's handler."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


def _take() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
