"""What a runtime leaves behind: the program's pid, or what it said when it failed; and how such programs end.

A virtual machine leaves a report behind, in lines as guest/README.md has them: `ended exit 7`, `ended signal 9 oom`.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass

from fourfold.spawner.process import read_end, read_text
from fourfold.spawner.request import HOW_IT_ENDED, PID_FILE, REPORT, Failed

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


REPORT_BYTES = 64 * 1024
"""More than a guest of ours reports, and less than one that is not would have us keep."""
_REPORTED = re.compile(r"ended (exit|signal) ([0-9]+)( oom)?")


@dataclass(frozen=True)
class Reported:
    """How a virtual machine's program ended. All None, and words instead: it did not tell."""

    code: int | None
    signal: int | None
    oom: bool
    said: str


def reported(folder: str, status: int | None) -> Reported:
    """`status`: of the machine's own process; None: unknown."""
    lines = (read_end(f"{folder}/{HOW_IT_ENDED}", REPORT_BYTES) or "").splitlines()
    for line in reversed(lines):
        if told := ending_told(line):
            return told
    code, killed = ending(status, by_init=False)
    if killed is not None:
        return Reported(None, killed, False, "")
    return Reported(
        None, None, False, f"{lines[-1][:_MOST_SAID] if lines else 'nothing'}; {'unknown' if code is None else code}"
    )


def ending_told(line: str) -> Reported | None:
    """What a guest reports of the program's end, if that is what it does."""
    if not (found := _REPORTED.fullmatch(line)):
        return None
    number = int(found[2])
    by_exit = found[1] == "exit"
    return Reported(number if by_exit else None, None if by_exit else number, bool(found[3]), "")


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
