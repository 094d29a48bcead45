"""The journal: which programs were started and how they ended, so that a new spawner knows what a dead one knew.

One JSON object per line, appended without fsync: the page cache survives the death of a process, and a reboot voids
everything in here anyway. Lines: {"seq": n} first, then {"started": …}, {"dropped": [instance, run]}, {"ended": …},
{"acked": n}.

An older or newer version may have written it and may read it again: fields that are not known are passed over, and
lines that cannot be used are kept as they are.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from typing import Any

from fourfold.spawner.request import Ended, Started, known

_COMPACT_AT = 1024 * 1024
_MOST_UNUSABLE = 10_000

Key = tuple[str, int]
"""Instance and run."""


class Journal:
    """`started` are those without an end, by `Started.key`; `ended` the exits nobody has acknowledged, by seq."""

    def __init__(self, path: str) -> None:
        self._path = path
        # A new journal begins at the present millisecond, so that sequence numbers grow over lost journals too.
        self._seq = time.time_ns() // 1_000_000
        self.started: dict[Key, Started] = {}
        self.ended: dict[int, Ended] = {}
        self._unusable: list[dict[str, Any]] = []
        self._replay()
        self._fd, self._size, self._compact_at = -1, 0, _COMPACT_AT
        self._rewrite()

    def start(self, started: Started) -> None:
        """OSError when it could not be written: then the program must not run."""
        self.started[started.key] = started
        try:
            self._append({"started": started.as_json()})
        except OSError:
            del self.started[started.key]
            raise

    def drop(self, started: Started) -> None:
        """It never ran, or nobody wants to know how it ended."""
        self.started.pop(started.key, None)
        self._append_later({"dropped": started.key})

    def end(
        self,
        started: Started,
        code: int | None,
        signal: int | None,
        oom: bool,
        said: str = "",
        cpu_seconds: float | None = None,
        memory_bytes: int | None = None,
    ) -> Ended:
        self.started.pop(started.key, None)
        self._seq += 1
        of = self._seq, started.instance, started.run
        ended = Ended(*of, code, signal, oom, time.time(), said, cpu_seconds, memory_bytes)
        self.ended[ended.seq] = ended
        self._append_later({"ended": ended.as_json()})
        return ended

    def acknowledge(self, seq: int) -> None:
        self.ended = {number: ended for number, ended in self.ended.items() if number > seq}
        self._append_later({"acked": seq})

    def keep(self) -> None:
        """Write all of it again if its file is gone."""
        if not os.path.exists(self._path):
            self._rewrite()

    def _append_later(self, entry: dict[str, Any]) -> None:
        """What happened has happened: when the disk is full it stays in memory until a rewrite succeeds."""
        try:
            self._append(entry)
        except OSError:
            self._size = self._compact_at

    def _append(self, entry: dict[str, Any]) -> None:
        if self._size >= self._compact_at:
            self._rewrite()
            return
        line = json.dumps(entry).encode() + b"\n"
        written = -1
        try:
            written = os.write(self._fd, line)
        finally:
            if written != len(line):
                with suppress(OSError):
                    os.ftruncate(self._fd, self._size)  # a torn line would hide the next
        if written != len(line):
            raise OSError(28, os.strerror(28))
        self._size += written

    def _rewrite(self) -> None:
        """Write-temp, rename: at every moment there is one whole journal."""
        lines: list[dict[str, Any]] = [{"seq": self._seq}]
        lines += [{"started": started.as_json()} for started in self.started.values()]
        lines += [{"ended": ended.as_json()} for ended in self.ended.values()]
        lines += self._unusable
        data = "".join(json.dumps(line) + "\n" for line in lines).encode()
        fd = os.open(f"{self._path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            if os.write(fd, data) != len(data):
                raise OSError(28, os.strerror(28))
            os.rename(f"{self._path}.new", self._path)
        except OSError:
            os.close(fd)
            raise
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._size = fd, len(data)
        self._compact_at = max(_COMPACT_AT, 2 * len(data))

    def _replay(self) -> None:
        try:
            with open(self._path, "rb") as file:
                lines = file.read().splitlines()
        except FileNotFoundError:
            return
        for line in lines:
            try:
                entry = json.loads(line)
            except ValueError:
                continue  # torn by a full disk, or written by hand: what can be read still counts
            try:
                self._apply(entry)
            except (ValueError, TypeError, KeyError, AttributeError):
                if isinstance(entry, dict) and len(self._unusable) < _MOST_UNUSABLE:
                    self._unusable.append(entry)

    def _apply(self, entry: dict[str, Any]) -> None:
        if "seq" in entry:
            self._seq = int(entry["seq"])
        elif "started" in entry:
            started = Started.from_json(entry["started"])
            self.started[started.key] = started
        elif "dropped" in entry:
            instance, run = entry["dropped"]
            self.started.pop((instance, run), None)
        elif "ended" in entry:
            ended = known(Ended, entry["ended"])
            self.started.pop((ended.instance, ended.run), None)
            self.ended[ended.seq] = ended
            self._seq = max(self._seq, ended.seq)
        elif "acked" in entry:
            self.ended = {seq: ended for seq, ended in self.ended.items() if seq > int(entry["acked"])}
        else:
            raise ValueError("of another version")
