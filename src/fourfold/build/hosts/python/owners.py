"""Which guest a thread is of, and what its threads have used.

Each guest has a thread with an event loop of its own. Threads are of the guest whose thread started them, so that all
that a guest does can be told apart: whose modules `import app` means, where what it prints goes, whose CPU that was.
"""

from __future__ import annotations

import ctypes
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from .worlds import World


class Killed(SystemExit):
    """Raised in a guest's threads to end them. A SystemExit, since asyncio lets nothing else through."""


class Owner:
    """What is one guest's alone in a process that it shares."""

    def __init__(self, world: World, env: dict[bytes, bytes], out: TextIO) -> None:
        self.world = world
        self.env = env
        self.out = out
        self.loggers: Any = None
        """Filled in by `logs`."""
        self.metadata: dict[str, Path] = {}
        """The .dist-info folders of distributions that are its own, by normalized name."""
        self.at_exit: list[Callable[[], object]] = []
        self._lock = threading.Lock()
        self._threads: dict[int, threading.Thread] = {}
        self._spent = 0.0
        """CPU seconds of threads that have ended."""

    @property
    def threads(self) -> list[threading.Thread]:
        with self._lock:
            return [thread for thread in self._threads.values() if thread.is_alive()]

    def cpu(self) -> float:
        """Seconds of CPU since its start, user and system, all its threads together."""
        with self._lock:
            return self._spent + sum(map(_cpu_of, self._threads.values()))

    def run_exits(self) -> None:
        """What it has left to be done when its process ends."""
        while self.at_exit:
            try:
                self.at_exit.pop()()
            except Exception:
                traceback.print_exc(file=self.out)

    def raise_in_threads(self) -> None:
        """Have `Killed` raised in each of its threads, as soon as it runs Python code."""
        with self._lock:
            for ident in [ident for ident, thread in self._threads.items() if thread.is_alive()]:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), ctypes.py_object(Killed))

    def forked(self) -> None:
        """In a child process: of its threads there is the one at most that has forked."""
        self._lock = threading.Lock()  # somebody may have held it
        self._threads = {}

    def run(self, thread: threading.Thread, run: Callable[[], None]) -> None:
        ident = threading.get_ident()
        _local.owner = self
        with self._lock:
            self._threads[ident] = thread
        try:
            run()
        except Killed:
            pass
        finally:
            with self._lock:
                self._threads.pop(ident, None)
                self._spent += time.thread_time()


def _cpu_of(thread: threading.Thread) -> float:
    """By its id in the kernel: pthread_getcpuclockid(3) must not be asked about a thread that has just ended.

    The clock of thread N is ~N shifted by 3, with 4 for one thread alone and 2 for time that it ran
    (include/linux/posix-timers_types.h, MAKE_THREAD_CPUCLOCK).
    """
    try:
        return time.clock_gettime((~(thread.native_id or 0) << 3) | 6)
    except OSError:
        return 0.0


_local = threading.local()
_start = threading.Thread.start


def current() -> Owner | None:
    """Of whom the current thread is; None: the host's own."""
    owner: Owner | None = getattr(_local, "owner", None)
    return owner


def world() -> World | None:
    owner = current()
    return owner.world if owner is not None else None


class as_host:  # used as `with as_host():`
    """What runs in it is nobody's, though in a guest's thread."""

    def __enter__(self) -> None:
        self._was = current()
        _local.owner = None

    def __exit__(self, *_: object) -> None:
        _local.owner = self._was


def start_as(owner: Owner, thread: threading.Thread) -> None:
    run = thread.run

    def owned() -> None:
        try:
            owner.run(thread, run)
        finally:
            del thread.run  # it would hold itself

    thread.run = owned  # type: ignore[method-assign]
    _start(thread)


def _start_thread(thread: threading.Thread) -> None:
    owner = current()
    if owner is None:
        _start(thread)
    else:
        start_as(owner, thread)


def install() -> None:
    threading.Thread.start = _start_thread  # type: ignore[method-assign,assignment]
