"""What a virtual machine is handed beside its files: open descriptors, FIFOs, and programs that serve it.

QEMU runs as the service's user and may open little by itself: what that takes is opened here, as whom the spawner runs.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import socket
from contextlib import suppress
from typing import NoReturn

from fourfold.spawner import kernel, netlink
from fourfold.spawner.bundle import own
from fourfold.spawner.namespace import PLAIN, stage
from fourfold.spawner.request import Bridge, Bundle, Failed, Spawn, User

FIRST = 3
"""Number of the first descriptor that a program is handed."""
_HIGHEST = 1 << 20
ABOVE = 64
"""What is still needed until the exec is kept from here on."""


def close_all_but(kept: set[int]) -> None:
    """And the three standard ones."""
    low = 3
    for fd in sorted(kept):
        os.closerange(low, fd)
        low = fd + 1
    os.closerange(low, _HIGHEST)


def move_up(fd: int) -> int:
    """Out of the way of those that the program gets. Failed: so many files must not be open here."""
    try:
        moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, ABOVE)
    except OSError as error:  # EINVAL where ABOVE itself is beyond the limit
        raise Failed("descriptors", errno.EMFILE) from error
    os.close(fd)
    return moved


def taps(spawn: Spawn, bundle: Bundle, name: str) -> list[int]:
    """While the host's network is still there. -> one descriptor or none."""
    if not isinstance(spawn.network, Bridge) or not any(kind == "tap" for kind, _ in bundle.opened):
        return []
    return [move_up(netlink.tap(spawn.network, name))]


def open_all(bundle: Bundle, user: User | None, taps: list[int]) -> list[int]:
    """In the order of `bundle.opened`. Failed."""
    opened = []
    for kind, name in bundle.opened:
        with stage(kind, name):
            opened.append(taps.pop() if kind == "tap" else move_up(_open(bundle.folder, kind, name, user)))
    return opened


def make_fifos(bundle: Bundle, user: User | None) -> list[int]:
    """-> what keeps them from having an end, for the program to inherit."""
    kept = []
    for name, content in bundle.fifos.items():
        with stage("bundle", name):
            os.mkfifo(name, 0o600)
            own(name, user)
            kept.append(move_up(os.open(name, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)))
            if os.write(kept[-1], content.encode()) != len(content.encode()):
                raise OSError(errno.EMSGSIZE, os.strerror(errno.EMSGSIZE))
    return kept


def start_helpers(bundle: Bundle, user: User | None, env: dict[str, str]) -> None:
    """Each listens already when this returns, and has been exec'ed. Failed."""
    signal.set_wakeup_fd(-1)  # which was the spawner's, and is closed
    for name, argv in bundle.helpers.items():
        with stage("helper", argv[0]):
            listener = _listen(name, user)
            reader, writer = os.pipe2(os.O_CLOEXEC)
            if (middle := os.fork()) == 0:
                # Twice, so that its parent is the spawner, which waits for it, and not the program, which would not.
                if os.fork() == 0:
                    _become_helper(argv, listener, writer, env)
                os._exit(0)
            os.close(writer)
            os.close(listener)
            os.waitpid(middle, 0)
            with open(reader, "rb") as file:
                told = file.read()
            if told:
                raise Failed(**json.loads(told))


def _become_helper(argv: list[str], listener: int, status: int, env: dict[str, str]) -> NoReturn:
    try:
        kernel.unshare(kernel.CLONE_NEWNS)  # what is hidden from the program later is not from this
        status = move_up(status)
        os.dup2(listener, FIRST)
        os.execve(argv[0], argv, env)
    except OSError as error:
        failed = Failed("helper", error.errno or 0, argv[0])
        os.write(status, json.dumps(failed.as_json()).encode())
    finally:
        os._exit(1)


def hide(bundle: Bundle) -> None:
    for folder in bundle.hidden:
        with stage("hide", folder):
            if os.path.isdir(folder):
                flags = PLAIN | kernel.MS_NOEXEC | kernel.MS_RDONLY
                kernel.mount("tmpfs", folder, "tmpfs", flags, "mode=0,nr_inodes=1")


def hand_over(opened: list[int], kept: list[int]) -> None:
    """Right before the exec: from here on nothing may be opened."""
    for number, fd in enumerate(opened, FIRST):
        os.dup2(fd, number)
    for fd in kept:
        os.set_inheritable(fd, True)


def _open(folder: str, kind: str, name: str, user: User | None) -> int:
    if kind == "listen":
        with suppress(FileNotFoundError):
            os.unlink(f"{folder}/{name}")
        return _listen(f"{folder}/{name}", None)
    if kind == "append":
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(f"{folder}/{name}", flags, 0o600)
        if user is not None:
            os.fchown(fd, user.uid, user.gid)  # it is opened anew, by way of /proc
        return fd
    return os.open(name, os.O_RDONLY | os.O_CLOEXEC)


def _listen(path: str, user: User | None) -> int:
    """A path of any length: by its folder."""
    folder = os.open(os.path.dirname(path) or ".", os.O_PATH | os.O_CLOEXEC)
    listener = socket.socket(socket.AF_UNIX)
    mask = os.umask(0o177)
    try:
        listener.bind(f"/proc/self/fd/{folder}/{os.path.basename(path)}")
        own(path, user)
        listener.listen(16)
    finally:
        os.umask(mask)
        os.close(folder)
    return listener.detach()
