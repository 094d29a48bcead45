"""The usage journal: what each invocation took, as JSON lines in files of the invoker that wrote them.

A line is one `write` to a file opened with O_APPEND, before the answer is sent: it is there or it is not, whenever the
invoker is killed. A full disk costs no answer: what it does not take is kept, and written before the next line or
at the end; it is lost only if the invoker is killed before, or there is too much of it. Torn lines are not read.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from fourfold.functions.model import Usage

SUFFIX = ".usage"
MAX_KEPT = 4 * 1024 * 1024
"""Bytes that wait for a full disk; lines that come when there are as many are left out."""
MAX_FILE = 64 * 1024 * 1024
"""Bytes after which a new file is begun, so that a reader can do away with those that are finished."""


class Journal:
    """Files `NAME.0.usage`, `NAME.1.usage`, … in `folder`; `name` is this run's alone."""

    def __init__(self, folder: str, name: str) -> None:
        self._folder = Path(folder)
        self._name = name
        self._number = 0
        self._size = 0
        self._kept = b""
        """Of a line that was begun, and those after it."""
        self.failure: OSError | None = None
        """Why the last line could not be written."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._descriptor = self._open()

    def append(self, usage: Usage) -> bool:
        """-> whether all is written that there is to write."""
        if len(self._kept) < MAX_KEPT:
            self._kept += to_line(usage)
        return self._write()

    def _write(self) -> bool:
        try:
            written = os.write(self._descriptor, self._kept)
        except OSError as error:
            self.failure = error
            return False
        self._kept = self._kept[written:]
        self._size += written
        if self._size > MAX_FILE and not self._kept:
            self._begin_another()
        return not self._kept

    def close(self) -> None:
        if self._kept:
            self._write()
        os.close(self._descriptor)

    def _begin_another(self) -> None:
        self._number += 1
        before = self._descriptor
        try:
            self._descriptor = self._open()
        except OSError as error:
            self.failure = error  # the old one goes on
            return
        self._size = 0
        os.close(before)

    def _open(self) -> int:
        path = self._folder / f"{self._name}.{self._number}{SUFFIX}"
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


def to_line(usage: Usage) -> bytes:
    """By hand: `json.dumps(asdict(usage))` takes ten times as long, on every invocation."""
    return (
        f'{{"at":{usage.at:.3f},"request_id":{json.dumps(usage.request_id)},"release":{usage.release},'
        f'"duration_ms":{usage.duration_ms:.2f},"billed_ms":{usage.billed_ms},"init_ms":{usage.init_ms:.2f},'
        f'"memory":{usage.memory},"used":{usage.used},"ended":"{usage.ended}"}}\n'
    ).encode()


def from_line(line: bytes) -> Usage | None:
    """None: it is torn, or is none of ours."""
    if not line.endswith(b"\n"):
        return None  # of a file that is being written, or was when the disk was full
    try:
        return Usage(**json.loads(line))
    except (ValueError, TypeError):
        return None
