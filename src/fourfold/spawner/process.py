"""Which process a pid is: facts from /proc that hold when pids are recycled."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass

_BOOT_ID = "/proc/sys/kernel/random/boot_id"


def read_text(path: str) -> str | None:
    """A small file, or None when it is not there (any more) or not ours to read."""
    try:
        with open(path, "rb") as file:
            return file.read().decode(errors="replace")
    except OSError:
        return None


def boot_id() -> str:
    return (read_text(_BOOT_ID) or "unknown").strip()


@dataclass(frozen=True)
class Stat:
    """The fields of /proc/PID/stat that matter here (proc(5))."""

    state: str
    parent: int
    session: int
    start_time: int

    @classmethod
    def of(cls, pid: int) -> Stat | None:
        text = read_text(f"/proc/{pid}/stat")
        if text is None:
            return None
        fields = text[text.rindex(")") + 2 :].split()  # the name may hold spaces and brackets
        return cls(fields[0], int(fields[1]), int(fields[3]), int(fields[19]))


def open_exactly(pid: int, start_time: int) -> int | None:
    """A pidfd of the process that had this pid and started then; None when it is gone or somebody else has the pid.

    The start time is read after opening: the pidfd pins the process, so what was checked is what will be signalled.
    """
    try:
        fd = os.pidfd_open(pid)
    except OSError:
        return None
    stat = Stat.of(pid)
    if stat is not None and stat.start_time == start_time and stat.state not in "ZX":
        return fd
    os.close(fd)
    return None


def send(pid: int, start_time: int, number: int) -> bool:
    """Signal exactly that process. -> whether it was there."""
    fd = open_exactly(pid, start_time)
    if fd is None:
        return False
    try:
        signal.pidfd_send_signal(fd, number)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def all_pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]
