"""Keeps logs bounded while programs write straight into them, and notes when what was written.

Nothing is ever copied, so no line can be lost on the way: when a log has grown past its bound, the blocks of its front
are given back (hole punching) and the index says at which line border the kept part begins. A line of more than 64 KiB
may be cut there. The kept part is at least half of `log_bytes`. On a file system that cannot punch holes the newest
half is copied to the beginning of the truncated file; a line written in that very moment can be lost.

Some blocks are reserved for what comes next: programs fail when a line of theirs cannot be written, and must not do so
because somebody else has filled the disk. Once it is full, a log's oldest lines make room for its newest.

inotify says when anything grows; then logs are looked at every few milliseconds (a flood) up to every 100 ms (a
trickle), until nothing grows any more. Idle logs cost nothing. Without inotify they are looked at every 250 ms.
"""

from __future__ import annotations

import errno
import os
import struct
import sys
import time
from collections.abc import Iterable
from contextlib import suppress

from fourfold.spawner import kernel
from fourfold.spawner.logindex import Index

_SLOWEST, _FASTEST, _FIRST = 0.1, 0.002, 0.005
_ENTRY_EVERY = 0.25
_POLL = 0.25
_LONGEST_LINE = 64 * 1024
_RESERVE = 64 * 1024
_EVENT = struct.Struct("iIII")
_OVERFLOW = -1
TRUNCATED = b"fourfold: the program has emptied its own log; `> /dev/stderr` does that, `>&2` does not\n"


class Log:
    """One file and what is known of it."""

    def __init__(self, path: str, limit: int) -> None:
        self.path = path
        self.limit = max(limit, 32 * 1024)
        self.index = Index(path)
        self.size = self.index.offset
        self.looked = 0.0
        self.rate = 0.0
        """Bytes per second between the last two looks."""
        self.reserved = 0
        """How far it can grow on a full disk."""

    def look(self, last: bool = False) -> bool:
        """Note growth, trim, reserve. -> whether it should be looked at again soon."""
        try:
            status = os.stat(self.path)
        except FileNotFoundError:
            return False
        now, tick = time.time(), time.monotonic()
        if status.st_size < self.size:
            self.index.reset()
            self.size = self.reserved = 0
            status = self._tell_truncated()
        grown = status.st_size - self.size
        self.rate = grown / max(tick - self.looked, 0.001)
        self.size, self.looked = status.st_size, tick
        if self.size - self.index.start > self.limit * 3 // 4:
            self._trim(status.st_blksize, self.limit // 2)  # first: on a full disk it makes the room for the index
        if not last and self.reserved - self.size < self._reserve // 2:
            self._reserve_more(status.st_blksize)
        unnoted = self.size > self.index.offset
        if unnoted and (last or grown == 0 or now - self.index.time >= _ENTRY_EVERY):
            self.index.add(self.size, min(status.st_mtime, now))
            unnoted = False
        return grown > 0 or unnoted

    def _tell_truncated(self) -> os.stat_result:
        """Into the log itself: whoever looks for the missing lines looks there."""
        fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            os.write(fd, TRUNCATED)
            return os.fstat(fd)
        finally:
            os.close(fd)

    def pace(self) -> float:
        """In how many seconds an eighth of the limit will have been written, at the present rate."""
        return self.limit / 8 / self.rate if self.rate else _SLOWEST

    @property
    def _reserve(self) -> int:
        return min(_RESERVE, self.limit // 8)

    def _reserve_more(self, block: int) -> None:
        fd = os.open(self.path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            if self._reserves(fd, self.size + self._reserve):
                return
            old = self.index.start
            with suppress(OSError):  # the index may find no room: the hole is there all the same
                self._trim(block, (self.size - old) // 2)
            end = max(self.reserved, self.size) + max(self.index.start // block - old // block, 0) * block
            self._reserves(fd, end) or self._reserves(fd, end - block)  # one may have gone to the index
        finally:
            os.close(fd)

    def _reserves(self, fd: int, end: int) -> bool:
        """-> whether there was room."""
        try:
            if end > self.size:
                kernel.reserve(fd, self.size, end - self.size)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                return False
            end = sys.maxsize  # not on this file system
        self.reserved = end
        return True

    def give_back(self) -> None:
        """What is reserved and was not needed. Nobody writes any more."""
        if self.size < self.reserved < sys.maxsize:
            os.truncate(self.path, os.stat(self.path).st_size)

    def _trim(self, block: int, keep: int) -> None:
        fd = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            cut = self.size - keep
            border = os.pread(fd, _LONGEST_LINE, cut).find(b"\n")
            start, old = cut + border + 1, self.index.start
            noted = self._note(start)
            first, length = old // block * block, start // block * block - old // block * block
            try:
                kernel.punch_hole(fd, first, length)
            except OSError as error:
                if error.errno not in (errno.EOPNOTSUPP, errno.ENOSYS):
                    raise
                self._copy_down(fd)
                return
            if not noted:
                self.index.move_start(start)
        finally:
            os.close(fd)

    def _note(self, start: int) -> bool:
        """-> whether there was room for it; there will be, once the hole is punched."""
        try:
            self.index.move_start(start)
        except OSError:
            return False
        return True

    def _copy_down(self, fd: int) -> None:
        tail = os.pread(fd, self.limit, self.index.start)
        os.ftruncate(fd, 0)
        os.write(fd, tail)
        self.index.reset()
        self.size = self.reserved = 0


class Logs:
    """All logs of running instances. `fd` becomes readable when one grows; `due` says when to call `work`."""

    def __init__(self) -> None:
        self._logs: dict[str, Log] = {}
        self._watches: dict[int, str] = {}
        self._growing: set[str] = set()
        self._polled: set[str] = set()
        self._pace = 0.0
        try:
            self.fd = kernel.inotify()
        except OSError:
            self.fd = -1

    @property
    def busy(self) -> bool:
        return bool(self._growing)

    def add(self, path: str, limit: int) -> None:
        """The file exists. OSError when its index cannot be written."""
        self._logs[path] = Log(path, limit)
        try:
            self._watches[kernel.watch_writes(self.fd, path)] = path
        except OSError:
            self._polled.add(path)
        self._growing.add(path)  # what was written before the watch was there

    def drop(self, path: str, ended: bool = True) -> None:
        """Note the last line's time, trim for the last time. `ended`: nobody writes to it any more."""
        log = self._logs.pop(path, None)
        if log is None:
            return
        self._growing.discard(path)
        self._polled.discard(path)
        for watch in [number for number, watched in self._watches.items() if watched == path]:
            del self._watches[watch]
            with suppress(OSError):
                kernel.unwatch(self.fd, watch)
        with suppress(OSError):
            log.look(last=True)
        if ended:
            with suppress(OSError):
                log.give_back()

    def work(self) -> float | None:
        """Look at whatever grows. -> seconds until the next call; None: when `fd` becomes readable."""
        looked_at = self._growing | self._polled | self._events()
        self._growing = {path for path in looked_at if path in self._logs and _look(self._logs[path])}
        if not self._growing:
            self._pace = 0.0
            return _POLL if self._polled else None
        self._pace = min(max(self._pace * 2, _FIRST), _SLOWEST)
        return max(min(self._pace, self._fastest(self._growing)), _FASTEST)

    def _fastest(self, paths: Iterable[str]) -> float:
        return min((self._logs[path].pace() for path in paths), default=_SLOWEST)

    def _events(self) -> set[str]:
        """Which logs inotify has named since the last time."""
        named: set[int] = set()
        while self.fd >= 0:
            try:
                data = os.read(self.fd, 65536)
            except BlockingIOError:
                break
            named.update(watch for watch, *_ in _EVENT.iter_unpack(data))
            if len(data) < 65536 - _EVENT.size:
                break
        if _OVERFLOW in named:
            return set(self._logs)
        return {self._watches[watch] for watch in named if watch in self._watches}


def _look(log: Log) -> bool:
    try:
        return log.look()
    except OSError:  # the disk is full, or somebody took the file away: the program goes on, and so do we
        return False
