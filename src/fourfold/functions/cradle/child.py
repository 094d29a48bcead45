"""What runs between a fork of the cradle and the function's own code. Nothing here returns."""

from __future__ import annotations

import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from fourfold.functions import forkserver
from fourfold.functions.model import TASK, SandboxUser
from fourfold.spawner import kernel
from fourfold.spawner.plugs import close_all_but

NAMESPACES = kernel.CLONE_NEWNS | kernel.CLONE_NEWIPC | kernel.CLONE_NEWNET | kernel.CLONE_NEWUTS | kernel.CLONE_NEWPID
_DESCRIPTORS = 1024
_NOT_FOUND, _NOT_EXECUTABLE = 127, 126
"""Exit codes, as of a shell (POSIX, 2.8.2)."""


@dataclass(frozen=True)
class Program:
    argv: Sequence[str]
    env: Mapping[str, str]
    user: SandboxUser
    scratch: Sequence[tuple[str, int]]


def fork(folder: str | None, become: Callable[[], NoReturn]) -> int:
    """A child that is the first process of new namespaces, born in that v2 group. OSError."""
    group = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC) if folder else None
    try:
        pid = kernel.fork_into(group, NAMESPACES)
    finally:
        if group is not None:
            os.close(group)
    if pid == 0:
        try:
            become()
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(1)
    return pid


def be_sandbox(program: Program, channel: socket.socket, output: int, joins: Sequence[int]) -> NoReturn:
    """First process of a sandbox: as in `forkserver.become`, but by root, and the program is exec'ed."""
    try:
        arrive(program, channel, output, joins)
        become_user(program.user)
        forkserver.be_init(channel, output)
    except OSError as error:
        forkserver.tell_failure(channel, error)
    _execute(program)


def arrive(program: Program, channel: socket.socket, output: int, joins: Sequence[int]) -> None:
    """Join the groups, while the cradle makes the network; then what is private is mounted. OSError."""
    _reset()
    # What stayed open in here would keep the cradle's and other sandboxes' ends from being seen.
    close_all_but({channel.fileno(), output, *joins})
    channel.send(b"here")
    for fd in joins:
        os.write(fd, b"0")
        os.close(fd)
    if channel.recv(16) != b"on":
        os._exit(0)
    forkserver.furnish(program.scratch)


def be_fork_server(program: Program, control: int, script: int, joins: Sequence[int]) -> NoReturn:
    """With a network of its own that leads nowhere: what is imported there has nothing to do with anybody yet."""
    _reset()
    for fd in joins:
        os.write(fd, b"0")
    kernel.loopback_up()
    forkserver.furnish(program.scratch)
    null = os.open(os.devnull, os.O_RDONLY)
    control, script = (os.dup(fd) for fd in (control, script))
    os.dup2(null, 0)
    os.dup2(2, 1)
    os.dup2(control, forkserver.CONTROL)
    os.dup2(script, forkserver.CONTROL + 1)
    become_user(program.user)
    os.chdir(TASK)
    os.execvpe(program.argv[0], [*program.argv, f"/proc/self/fd/{forkserver.CONTROL + 1}"], dict(program.env))


def own_users(user: SandboxUser) -> int:
    """-> a descriptor of a new user namespace that is this user's own, who is the only one in there. OSError."""
    read, write = os.pipe()
    go_read, go = os.pipe()
    if (pid := os.fork()) == 0:
        code = 0
        try:
            os.close(go)
            os.setgroups([])
            os.setresgid(user.gid, user.gid, user.gid)
            os.setresuid(user.uid, user.uid, user.uid)
            kernel.unshare(kernel.CLONE_NEWUSER)
            os.write(write, b"h")
            os.read(go_read, 1)
        except OSError as error:
            code = error.errno or 1
        finally:
            os._exit(code)
    os.close(write)
    try:
        if os.read(read, 1):
            for name, text in (("setgroups", "deny"), ("uid_map", _only(user.uid)), ("gid_map", _only(user.gid))):
                with open(f"/proc/{pid}/{name}", "w") as file:
                    file.write(text)
            return os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        for fd in (read, go_read, go):
            os.close(fd)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    raise OSError(code, os.strerror(code))


def _only(number: int) -> str:
    return f"{number} {number} 1"


def _reset() -> None:
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    os.umask(0o022)


def become_user(user: SandboxUser, groups: Sequence[int] = ()) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    most = min(_DESCRIPTORS, hard) if hard != resource.RLIM_INFINITY else _DESCRIPTORS
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.setgroups(groups)
    os.setresgid(user.gid, user.gid, user.gid)
    os.setresuid(user.uid, user.uid, user.uid)
    forkserver.give_up_rights()
    forkserver.die_with_parent()


def _execute(program: Program) -> NoReturn:
    try:
        os.execvpe(program.argv[0], list(program.argv), dict(program.env))
    except FileNotFoundError:
        code, why = _NOT_FOUND, "there is no such program, or not what its first line names"
    except OSError as error:
        code, why = _NOT_EXECUTABLE, error.strerror or str(error)
    os.write(2, f"cannot run {program.argv[0]}: {why}\n".encode())
    os._exit(code)
