"""The sidecar of a log: where its kept part begins, and when which part was written.

File `<log>.idx`: 8 bytes magic, u64 `start`, then entries of (u64 offset, f64 epoch seconds), little-endian, growing.
An entry says: what stands before `offset`, and not before the previous entry's offset, was written by that time.
"""

from __future__ import annotations

import os
import struct

MAGIC = b"FFLOG1\0\0"
_HEADER = struct.Struct("<8sQ")
_ENTRY = struct.Struct("<Qd")
_MOST_ENTRIES = 16384
"""256 KiB; at four entries a second more than an hour of a log that never rests, then older times get coarser."""


class Index:
    def __init__(self, log: str) -> None:
        self._path = f"{log}.idx"
        self.start, entries = read(self._path)
        self._count = len(entries)
        self.offset, self.time = entries[-1] if entries else (self.start, 0.0)

    def add(self, offset: int, at: float) -> None:
        self.offset, self.time = offset, max(at, self.time)
        entry = _ENTRY.pack(self.offset, self.time)
        if self._count == 0:
            self._write(_HEADER.pack(MAGIC, self.start) + entry, 0)
        else:
            self._write(entry, _HEADER.size + self._count * _ENTRY.size)
        self._count += 1
        if self._count >= _MOST_ENTRIES:
            kept = [entry for entry in read(self._path)[1] if entry[0] > self.start]
            half = len(kept) // 2 if len(kept) > _MOST_ENTRIES // 2 else 0
            self._rewrite(kept[1:half:2] + kept[half:])

    def move_start(self, start: int) -> None:
        """Before the bytes in front of it are given back: whoever reads then knows where to begin."""
        self.start = start
        self._write(_HEADER.pack(MAGIC, start), 0)

    def reset(self) -> None:
        """The program has truncated its log."""
        self.start = self.offset = 0
        self._rewrite([])

    def _write(self, data: bytes, offset: int) -> None:
        anew = 0 if self._count else os.O_TRUNC
        fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | anew, 0o600)
        try:
            os.pwrite(fd, data, offset)
        finally:
            os.close(fd)

    def _rewrite(self, entries: list[tuple[int, float]]) -> None:
        fd = os.open(f"{self._path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(fd, "wb") as file:
            file.write(_HEADER.pack(MAGIC, self.start) + b"".join(_ENTRY.pack(*entry) for entry in entries))
        os.rename(f"{self._path}.new", self._path)
        self._count = len(entries)


def read(path: str) -> tuple[int, list[tuple[int, float]]]:
    """-> (start, entries); (0, []) when there is none or it is not one."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError:
        return 0, []
    if len(data) < _HEADER.size or data[: len(MAGIC)] != MAGIC:
        return 0, []
    whole = _HEADER.size + (len(data) - _HEADER.size) // _ENTRY.size * _ENTRY.size
    return _HEADER.unpack_from(data)[1], list(_ENTRY.iter_unpack(data[_HEADER.size : whole]))
