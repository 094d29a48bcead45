"""What a runtime leaves behind: the program's pid, or what it said when it failed; and how such programs end."""

from __future__ import annotations

import os
from contextlib import suppress

from fourfold.spawner.process import read_text
from fourfold.spawner.request import PID_FILE, REPORT, Failed

_MOST_SAID = 4000
"""Bytes of a runtime's last words."""


def left_behind(folder: str, status: int | None) -> int:
    """The pid, once the runtime has ended with this wait status. Failed: it has left nothing behind."""
    written = (read_text(f"{folder}/{PID_FILE}") or "").strip()
    if status != 0 or not written.isdigit():
        raise Failed("runtime", 0, last_words(folder) or f"its runtime ended with status {status}")
    for name in (PID_FILE, REPORT):
        with suppress(OSError):
            os.unlink(f"{folder}/{name}")
    return int(written)


def last_words(folder: str) -> str:
    """What a runtime said about its failure."""
    return (read_text(f"{folder}/{REPORT}") or "").strip()[-_MOST_SAID:]


def ending(status: int | None, by_init: bool) -> tuple[int | None, int | None]:
    """-> (exit code, signal). An init ends with 128 + number when a signal has ended the program."""
    if status is None:
        return None, None
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        return None, -code
    return (None, code - 128) if by_init and 128 < code <= 128 + 64 else (code, None)


def remove(folder: str) -> None:
    """With everything in it, which is files and folders of ours; what cannot be removed stays."""
    with suppress(OSError):
        _empty(folder, None)
        os.rmdir(folder)


def _empty(name: str, above: int | None) -> None:
    """By what is open: a path may lead elsewhere by now."""
    folder = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above)
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                with suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        _empty(entry.name, folder)
                        os.rmdir(entry.name, dir_fd=folder)
                    else:
                        os.unlink(entry.name, dir_fd=folder)
    finally:
        os.close(folder)
