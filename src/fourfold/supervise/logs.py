"""Reads logs while programs write and the spawner trims them. Files: `logs/app/service/instance.run.log`."""

from __future__ import annotations

import asyncio
import bisect
import errno
import os
import time
from collections.abc import AsyncIterator, Callable, Container, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from fourfold.errors import WorldError
from fourfold.paths import Paths
from fourfold.spawner import logindex
from fourfold.supervise.model import LogLine

_CHUNK = 64 * 1024
_READ_AHEAD = 128 * 1024
_LONGEST_LINE = 64 * 1024
"""Longer ones come in pieces, so that memory stays bounded."""
_LOOK_EVERY = 0.1
_KEPT_RUNS = 10


def path_of(paths: Paths, instance: str, run: int) -> Path:
    """`shop.catalog-3-k7f2`, 2 -> `…/logs/shop/catalog/shop.catalog-3-k7f2.2.log`."""
    app, _, rest = instance.partition(".")
    service = rest.rsplit("-", 2)[0] or "-"
    return paths.logs / app / service / f"{instance}.{run}.log"


def make_room(paths: Paths, instance: str, run: int, running: Mapping[str, int]) -> Path:
    """Where the log of a new run goes; `running`: instance -> run of all that do. WorldError."""
    path = path_of(paths, instance, run)
    try:
        paths.logs.mkdir(mode=0o700, exist_ok=True)  # somebody may have removed it
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WorldError(f"cannot start {instance}: its log {path}: {error.strerror}") from error
    prune(path.parent, {f"{name}.{run}.log" for name, run in running.items()})
    return path


def prune(folder: Path, running: Container[str], keep: int = _KEPT_RUNS) -> None:
    """Of one service, keep the logs of what runs (file names) and of the last `keep` runs.

    Otherwise a crash loop would fill the disk.
    """
    dead = [path for path in folder.glob("*.log") if path.name not in running]
    for path in sorted(dead, key=_changed_at)[: -keep or None]:
        for file in (path, path.with_name(f"{path.name}.idx")):
            file.unlink(missing_ok=True)


def last_lines(paths: Paths, instance: str, run: int, count: int) -> list[str]:
    """The last lines that it wrote, oldest first; [] when it wrote none."""
    log = _File(path_of(paths, instance, run))
    log.seek_tail(count)
    return [text for _, text in log.lines(final=True)][-count:] if count > 0 else []


async def read(
    paths: Paths,
    instance: str,
    run: int,
    *,
    since: float | None = None,
    tail: int | None = None,
    follow: bool = False,
    alive: Callable[[], bool] = lambda: True,
) -> AsyncIterator[LogLine]:
    """Lines in order. `since`: epoch seconds; `tail`: at most that many of those already there.

    With `follow` it goes on until `alive()` is False and all is read. Bytes that are not UTF-8 are shown as U+FFFD.
    """
    log = _File(path_of(paths, instance, run))
    if tail is not None:
        log.seek_tail(tail)
    elif since is not None:
        log.seek_time(since)
    while True:
        ended = not (follow and alive())
        for offset, text in log.lines(final=ended):
            at = log.time_of(offset)
            if since is None or at >= since:
                yield LogLine(at, text)
            if log.pause():
                await asyncio.sleep(0)
        if ended:
            return
        await asyncio.sleep(_LOOK_EVERY)


@dataclass(frozen=True)
class Piece:
    """Whole lines as they were written."""

    data: bytes
    offset: int
    """Where the next one begins."""
    skipped: int = 0
    """Bytes before it that the spawner had given back by then."""


def pieces(path: Path, offset: int, *, final: bool, most: int) -> Iterator[Piece]:
    """What stands in a log from `offset` on, some `most` bytes of it; with `final` also a last line without an end.

    A log that is not there is empty; one that its program has emptied is read from its beginning.
    """
    while most > 0:
        size = _size_of(path)
        if size == offset:
            return  # as most often: nothing came
        start = logindex.read(f"{path}.idx")[0]
        if offset > size:
            offset = start
        skipped = max(start - offset, 0)
        offset = max(offset, start)
        data = _pread(path, offset, min(_READ_AHEAD, size - offset))
        if logindex.read(f"{path}.idx")[0] > offset:
            yield Piece(b"", offset, skipped)
            continue  # it was trimmed while we read: those may be holes
        if not (final and offset + len(data) >= size):
            data = data[: data.rfind(b"\n") + 1] or (data if len(data) == _READ_AHEAD else b"")
        offset += len(data)
        if data or skipped:
            yield Piece(data, offset, skipped)
        if not data:
            return
        most -= len(data)


def end_of(path: Path, most: int = 16384) -> str:
    """Its last bytes, as text; empty when it is not there."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - most))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


class _File:
    """A position in a log that may grow at its end and vanish at its front."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position, self._entries = logindex.read(f"{path}.idx")
        self._partial = b""
        self._read_since_pause = 0

    def seek_tail(self, count: int) -> None:
        """To where the last `count` lines begin, looking backwards."""
        first, end, found = self._position, self._size(), 0
        position = end
        while position > first and found <= count:
            start = max(first, position - _CHUNK)
            piece = self._pread(start, position - start)
            if position == end and piece.endswith(b"\n"):
                piece = piece[:-1]
            at = len(piece)
            while found < count and (at := piece.rfind(b"\n", 0, at)) >= 0:
                found += 1
            if found == count:
                self._position = start + at + 1 if count else end
                return
            position = start

    def seek_time(self, since: float) -> None:
        """To the last place known to be written before `since`, or a little earlier: at the beginning of a line."""
        index = bisect.bisect_left([at for _, at in self._entries], since)
        if index == 0:
            return
        self._position = self._line_after(max(self._entries[index - 1][0] - 1, self._position))

    def lines(self, final: bool) -> Iterator[tuple[int, str]]:
        """(offset, text) of what is there from here on; with `final` also of a last line without an end."""
        while True:
            start, entries = logindex.read(f"{self._path}.idx")
            self._entries = entries
            if self._position < start or self._position > self._size():  # trimmed, or truncated by its program
                self._position, self._partial = start, b""
            self._skip_hole()
            data = self._pread(self._position, _CHUNK)
            if not data or logindex.read(f"{self._path}.idx")[0] > self._position:
                if data:
                    continue  # it was trimmed while we read: those may be holes
                break
            yield from self._split(data)
        if final and self._partial:
            yield self._position - len(self._partial), _text(self._partial)
            self._partial = b""

    def _line_after(self, offset: int) -> int:
        """Where the first line begins after `offset`, or the end."""
        while True:
            piece = self._pread(offset, _CHUNK)
            border = piece.find(b"\n")
            if border >= 0 or not piece:
                return offset + border + 1 if border >= 0 else offset
            offset += len(piece)

    def _skip_hole(self) -> None:
        """A machine that lost its power may have kept the hole and not the index that says where it ends."""
        try:
            with self._path.open("rb", buffering=0) as file:
                begin = os.lseek(file.fileno(), self._position, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole up to the end
                self._position = max(self._position, self._size())
            return
        if begin > self._position:
            self._position, self._partial = self._line_after(begin), b""

    def _split(self, data: bytes) -> Iterator[tuple[int, str]]:
        offset = self._position - len(self._partial)
        self._position += len(data)
        self._read_since_pause += len(data)
        *whole, self._partial = (self._partial + data).split(b"\n")
        for line in whole:
            yield offset, _text(line)
            offset += len(line) + 1
        if len(self._partial) >= _LONGEST_LINE:
            yield offset, _text(self._partial)
            self._partial = b""

    def pause(self) -> bool:
        """Whether so much was read that others should have their turn."""
        due = self._read_since_pause >= _CHUNK
        if due:
            self._read_since_pause = 0
        return due

    def time_of(self, offset: int) -> float:
        """When the byte at `offset` was written: by the first look that saw it."""
        index = bisect.bisect_right(self._entries, offset, key=lambda entry: entry[0])
        return self._entries[index][1] if index < len(self._entries) else min(time.time(), _changed_at(self._path))

    def _size(self) -> int:
        return _size_of(self._path)

    def _pread(self, offset: int, length: int) -> bytes:
        return _pread(self._path, offset, length)


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _pread(path: Path, offset: int, length: int) -> bytes:
    try:
        with path.open("rb", buffering=0) as file:
            return os.pread(file.fileno(), length, offset)
    except OSError:
        return b""


def _changed_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return time.time()


def _text(line: bytes) -> str:
    return line.rstrip(b"\r").decode(errors="replace")
