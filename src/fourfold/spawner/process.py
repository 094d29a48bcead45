"""Which process a pid is: facts from /proc that hold when pids are recycled."""

from __future__ import annotations

import os
from dataclasses import dataclass

_CAP_SYS_PTRACE = 19
_PIECE = 65536
_BOOT_ID = "/proc/sys/kernel/random/boot_id"


def read_end(path: str, most: int) -> str | None:
    """Of a file that another may have made as large as he liked: its last bytes, or None as `read_text`."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        return os.pread(fd, most, max(0, os.fstat(fd).st_size - most)).decode(errors="replace")
    except OSError:
        return None
    finally:
        os.close(fd)


def read_text(path: str) -> str | None:
    """A small file, or None when it is not there (any more) or not ours to read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    data = b""
    try:  # the kernel gives tables (sockets, mounts, processes of a group) by the page, however much is asked for
        while piece := os.read(fd, _PIECE):
            data += piece
    except OSError:
        return None
    finally:
        os.close(fd)
    return data.decode(errors="replace")


def write_text(path: str, text: str) -> bool:
    """-> whether there is such a file and it took the text. Never makes one."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        os.write(fd, text.encode())
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def boot_id() -> str:
    return (read_text(_BOOT_ID) or "unknown").strip()


@dataclass(frozen=True)
class Stat:
    """The fields of /proc/PID/stat that matter here (proc(5))."""

    state: str
    parent: int
    session: int
    start_time: int
    status: int
    """Wait status of a zombie; 0 also when we may not know."""

    @classmethod
    def of(cls, pid: int) -> Stat | None:
        text = read_text(f"/proc/{pid}/stat")
        if text is None:
            return None
        fields = text[text.rindex(")") + 2 :].split()  # the name may hold spaces and brackets
        return cls(fields[0], int(fields[1]), int(fields[3]), int(fields[19]), int(fields[49]))


def status_of_zombie(pid: int, start_time: int) -> int | None:
    """How a process that nobody has waited for yet ended, though it is not our child; None when that cannot be told.

    Field 52 of /proc/PID/stat, shown to those who may trace the process: its own user, and whoever has CAP_SYS_PTRACE.
    """
    stat = Stat.of(pid)
    if stat is None or stat.start_time != start_time or stat.state not in "ZX":
        return None
    try:
        ours = os.stat(f"/proc/{pid}").st_uid == os.geteuid()
    except OSError:
        return None
    return stat.status if ours or _may_trace() else None


def _may_trace() -> bool:
    lines = (read_text("/proc/self/status") or "").splitlines()
    effective = next((line for line in lines if line.startswith("CapEff:")), "CapEff: 0").split()[1]
    return bool(int(effective, 16) >> _CAP_SYS_PTRACE & 1)


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


def all_pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]
