"""System calls that Python 3.11 has no function for, through libc. Each raises OSError with its errno.

Numbers are from the kernel's uapi headers (linux/mount.h, linux/sched.h, linux/falloc.h, linux/inotify.h,
linux/pidfd.h, linux/prctl.h); they are the same on every 64-bit architecture.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import socket
import struct

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 0x1, 0x2, 0x4, 0x8, 0x20
MS_NOATIME, MS_NODIRATIME, MS_BIND, MS_REC, MS_SLAVE, MS_RELATIME = 0x400, 0x800, 0x1000, 0x4000, 0x80000, 0x200000
MNT_DETACH = 0x2
CLONE_NEWNS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWNET = 0x00020000, 0x08000000, 0x10000000, 0x40000000
CLONE_NEWUTS, CLONE_NEWPID = 0x04000000, 0x20000000
_CLONE_INTO_CGROUP, _SYS_CLONE3 = 0x200000000, 435
_FALLOC_FL_KEEP_SIZE, _FALLOC_FL_PUNCH_HOLE = 0x1, 0x2
_IN_MODIFY = 0x2
_PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS, _PR_SET_THP_DISABLE = 36, 38, 41
_PIDFD_GET_INFO, _PIDFD_INFO_EXIT = 0xC040FF0B, 1 << 3
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1

_libc = ctypes.CDLL(None, use_errno=True)
_python = ctypes.PyDLL(None, use_errno=True)  # whose calls keep the interpreter's lock
for _name in ("mount", "umount2", "unshare", "setns", "syscall", "prctl"):
    getattr(_libc, _name)  # looked up once and kept, or each child would do it again


def _call(name: str, *arguments: object) -> int:
    result: int = getattr(_libc, name)(*arguments)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    _call(
        "mount",
        os.fsencode(source),
        os.fsencode(target),
        kind.encode() if kind else None,
        ctypes.c_ulong(flags),
        data.encode() if data else None,
    )


def detach(target: str) -> None:
    """umount2 with MNT_DETACH: gone from the tree at once, freed when nobody uses it."""
    _call("umount2", os.fsencode(target), MNT_DETACH)


def pivot_root(new: str, old: str) -> None:
    # glibc has no wrapper; 155 is x86_64's number, 41 that of the generic table (aarch64, riscv64, loongarch64).
    number = 155 if os.uname().machine == "x86_64" else 41
    _call("syscall", ctypes.c_long(number), os.fsencode(new), os.fsencode(old))


def unshare(flags: int) -> None:
    _call("unshare", ctypes.c_int(flags))


def setns(fd: int, flags: int) -> None:
    _call("setns", ctypes.c_int(fd), ctypes.c_int(flags))


def fork_into(group: int | None, namespaces: int = 0) -> int:
    """As os.fork(), with the child born in the v2 cgroup that this descriptor is open on: to join waits for all CPUs.

    It is the first process of those of `namespaces` (CLONE_NEW…) that are new.

    clone3(2) with what os.fork() does around it. It leaves out what the C library does for other threads, of which the
    spawner has none. OSError where there is no clone3, as under older containers' seccomp filters.
    """
    arguments = (ctypes.c_uint64 * 11)()  # struct clone_args: flags, …, exit_signal is the fifth, cgroup the last
    arguments[0], arguments[4] = namespaces, signal.SIGCHLD
    if group is not None:
        arguments[0], arguments[10] = namespaces | _CLONE_INTO_CGROUP, group
    _python.PyOS_BeforeFork()
    pid: int = _python.syscall(ctypes.c_long(_SYS_CLONE3), ctypes.byref(arguments), ctypes.c_size_t(88))
    if pid == 0:
        _python.PyOS_AfterFork_Child()
        return 0
    code = ctypes.get_errno()
    _python.PyOS_AfterFork_Parent()
    if pid < 0:
        raise OSError(code, os.strerror(code))
    return pid


def become_subreaper() -> None:
    _call("prctl", ctypes.c_int(_PR_SET_CHILD_SUBREAPER), *(ctypes.c_ulong(n) for n in (1, 0, 0, 0)))


def no_new_privileges() -> None:
    _call("prctl", ctypes.c_int(_PR_SET_NO_NEW_PRIVS), *(ctypes.c_ulong(n) for n in (1, 0, 0, 0)))


def small_pages_only() -> None:
    """No transparent huge pages for this process and what it becomes, whatever it asks for (madvise(2))."""
    _call("prctl", ctypes.c_int(_PR_SET_THP_DISABLE), *(ctypes.c_ulong(n) for n in (1, 0, 0, 0)))


def punch_hole(fd: int, start: int, length: int) -> None:
    """Give the blocks of [start, start + length) back to the file system; the file keeps its size."""
    flags = ctypes.c_int(_FALLOC_FL_PUNCH_HOLE | _FALLOC_FL_KEEP_SIZE)
    _call("fallocate", ctypes.c_int(fd), flags, ctypes.c_int64(start), ctypes.c_int64(length))


def reserve(fd: int, start: int, length: int) -> None:
    """Blocks for [start, start + length), also beyond the file's end; the file keeps its size."""
    flags = ctypes.c_int(_FALLOC_FL_KEEP_SIZE)
    _call("fallocate", ctypes.c_int(fd), flags, ctypes.c_int64(start), ctypes.c_int64(length))


def inotify() -> int:
    return _call("inotify_init1", ctypes.c_int(os.O_NONBLOCK | os.O_CLOEXEC))


def watch_writes(fd: int, path: str) -> int:
    """-> the watch descriptor that events about `path` will carry."""
    return _call("inotify_add_watch", ctypes.c_int(fd), os.fsencode(path), ctypes.c_uint32(_IN_MODIFY))


def unwatch(fd: int, watch: int) -> None:
    _call("inotify_rm_watch", ctypes.c_int(fd), ctypes.c_int(watch))


def loopback_up() -> None:
    """Bring `lo` up in this network namespace."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("16sh22x", b"lo", 0)
        flags = struct.unpack_from("h", fcntl.ioctl(sock, _SIOCGIFFLAGS, request), 16)[0]
        fcntl.ioctl(sock, _SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", flags | _IFF_UP))


def exit_status(pidfd: int) -> int | None:
    """Wait status of a reaped process that need not be our child; None when the kernel cannot tell (before 6.15).

    `struct pidfd_info` of linux/pidfd.h: mask and cgroupid (u64), eleven u32, then exit_code.
    """
    info = bytearray(struct.pack("Q56x", _PIDFD_INFO_EXIT))
    try:
        fcntl.ioctl(pidfd, _PIDFD_GET_INFO, info)
    except OSError:
        return None
    mask = struct.unpack_from("Q", info)[0]
    return int(struct.unpack_from("i", info, 60)[0]) if mask & _PIDFD_INFO_EXIT else None
