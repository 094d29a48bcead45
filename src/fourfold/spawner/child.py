"""What happens in the child between fork and exec. Nothing here returns: it becomes the program or it ends."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import resource
import signal
import termios
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import NoReturn

from fourfold.spawner import bundle, kernel, namespace, netlink, plugs, process
from fourfold.spawner.namespace import stage
from fourfold.spawner.processes import MARKER
from fourfold.spawner.request import Bridge, Bundle, Failed, Spawn, Started

NOT_STARTED = 125
"""Exit code of a child that never became its program; nobody sees it but a new spawner after a dead one."""

LEAF = "/entered"
"""Of a v2 group that is divided: where its own processes are."""


@dataclass(frozen=True)
class Inherited:
    """What a child has from the spawner and its program must not have."""

    descriptors: tuple[int, int]
    """RLIMIT_NOFILE as the spawner itself was started with."""
    ignored: tuple[int, ...]
    """Signals. Handlers are gone with exec, these would stay."""
    group: str | None = None
    """Of its groups, the one that it was born in."""

    @classmethod
    def now(cls) -> Inherited:
        ignored = (number for number in range(1, signal.NSIG) if signal.getsignal(number) == signal.SIG_IGN)
        return cls(resource.getrlimit(resource.RLIMIT_NOFILE), tuple(ignored))


def marker(instance: str, pid: int, start_time: int) -> str:
    """Of one start on this machine alone: another home may have an instance of the same name."""
    return f"{instance}:{pid}:{start_time}"


def become(
    spawn: Spawn, host: Started | None, go: int, status: int, streams: list[int], inherited: Inherited
) -> NoReturn:
    """Wait for the go byte, then exec.

    `host` is the instance to enter. A failure goes to `status` as JSON; the exec itself closes it.
    """
    try:
        plugs.close_all_but({go, status, *streams})
        if os.read(go, 1) != b"g":
            os._exit(NOT_STARTED)  # the spawner died before it had written down who we are
        os.close(go)
        status = plugs.move_up(status)
        _prepare(spawn, host, streams, inherited)
        _execute(spawn, host)
    except Failed as failed:
        _report(status, failed)
    except BaseException as error:
        _report(status, Failed("start", getattr(error, "errno", 0) or 0, repr(error)))
    finally:
        os._exit(NOT_STARTED)


def _report(status: int, failed: Failed) -> None:
    """In one write of less than PIPE_BUF, so that it arrives whole."""
    os.write(status, json.dumps({**failed.as_json(), "detail": failed.detail[:500]}).encode())


def _prepare(spawn: Spawn, host: Started | None, streams: list[int], inherited: Inherited) -> None:
    os.setsid()
    os.setpriority(os.PRIO_PROCESS, 0, max(0, os.getpriority(os.PRIO_PROCESS, 0)))  # we may go before programs
    for number in inherited.ignored:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for group in first_groups(spawn):
        if group == inherited.group:
            continue
        with stage("cgroup", group):
            _join(group)
    _connect_streams(spawn, streams)
    opened, kept = _move_in(spawn, host)
    resource.setrlimit(resource.RLIMIT_NOFILE, inherited.descriptors)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))  # cores hold secrets
    os.umask(0o022)
    if spawn.user is not None and (spawn.bundle is None or spawn.bundle.as_user):
        with stage("user", spawn.user.name):
            os.setgroups(spawn.bundle.groups if spawn.bundle is not None else [])
            os.setresgid(spawn.user.gid, spawn.user.gid, spawn.user.gid)
            os.setresuid(spawn.user.uid, spawn.user.uid, spawn.user.uid)
    kernel.no_new_privileges()
    if spawn.bundle is not None and spawn.bundle.small_pages:
        kernel.small_pages_only()
    if spawn.bundle is None:
        with stage("cwd", spawn.cwd):
            os.chdir(spawn.cwd)
    plugs.hand_over(opened, kept)


def _move_in(spawn: Spawn, host: Started | None) -> tuple[list[int], list[int]]:
    """Into the namespaces that the program, or its runtime, is started in. -> see `plugs.hand_over`."""
    given = spawn.bundle
    if given is not None and given.as_user:
        return _plug_in(spawn, given)
    if host is not None:
        _enter(host)  # with a bundle the network only: runtimes join what they have made themselves
    else:
        if isinstance(spawn.network, Bridge):
            netlink.connect(spawn.network, netlink.port_name(_own_marker(spawn, None)))
        namespace.unshare(spawn)
    if given is not None:
        bundle.build(spawn, given)
    elif spawn.private and host is None:
        namespace.View(spawn).build()
    return [], []


def _plug_in(spawn: Spawn, given: Bundle) -> tuple[list[int], list[int]]:
    """A virtual machine: it has no network but its tap, unless it is to share this host's."""
    taps = plugs.taps(spawn, given, netlink.port_name(_own_marker(spawn, None)))
    with stage("namespace"):
        apart = kernel.CLONE_NEWNET if spawn.network != "host" else 0
        namespace.leave(kernel.CLONE_NEWIPC | apart, spawn.user_namespace)
    bundle.build(spawn, given)
    opened = plugs.open_all(given, spawn.user, taps)
    kept = plugs.make_fifos(given, spawn.user)
    plugs.start_helpers(given, spawn.user, spawn.env)
    plugs.hide(given)
    return opened, kept


def first_groups(spawn: Spawn) -> list[str]:
    """Those that the child joins; a runtime puts its program into the other ones."""
    return spawn.bundle.cgroups if spawn.bundle is not None else spawn.cgroups


def fork(groups: list[str]) -> tuple[int, str | None]:
    """-> (pid or 0, the group that the child is already in)."""
    group = next((each for each in groups if _is_v2(os.path.dirname(each))), None)
    if group is not None:
        with suppress(OSError):  # then it is forked the other way, and joins by itself or says why it cannot
            folder = os.open(group, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                return kernel.fork_into(folder), group
            finally:
                os.close(folder)
    return os.fork(), None


@cache
def _is_v2(base: str) -> bool:
    return os.path.exists(f"{base}/cgroup.controllers")


def _join(group: str) -> None:
    """v1: by `tasks`, for we are a single thread; `cgroup.procs` would wait for every CPU. v2 has no such file."""
    try:
        fd = os.open(f"{group}/tasks", os.O_WRONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        fd = os.open(f"{group}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, b"0")
    except OSError as error:
        if error.errno != errno.EBUSY or group.endswith(LEAF):
            raise
        # v2: a group with groups that have controllers has no processes of its own, as that of a function's invoker.
        os.makedirs(group + LEAF, exist_ok=True)
        _join(group + LEAF)
    finally:
        os.close(fd)


def _connect_streams(spawn: Spawn, streams: list[int]) -> None:
    """Either the three that were passed, or /dev/null and the log. Owned, so that /dev/stdout can be opened anew."""
    if streams:
        opened = streams
    else:
        with stage("log", spawn.log or os.devnull):
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            log = os.open(spawn.log, flags, 0o600) if spawn.log else os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
            opened = [os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC), log, log]
    if spawn.user is not None and (streams or spawn.log):
        with stage("log", spawn.log or "streams"):
            for fd in {*opened[1:], *streams}:
                os.fchown(fd, spawn.user.uid, spawn.user.gid)
    for number, fd in enumerate(opened):
        os.dup2(fd, number)
    for fd in {*opened}:
        os.close(fd)
    if spawn.tty:
        with stage("tty"):
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _enter(host: Started) -> None:
    """Join the namespaces of a running instance. A pidfd, so that no other process can be meant."""
    flags = namespace.PRIVATE if host.private else 0
    flags |= kernel.CLONE_NEWNET if host.network != "host" else 0
    if not flags:
        return
    pidfd = process.open_exactly(host.pid, host.start_time)
    if pidfd is None:
        raise Failed("inside", errno.ESRCH, host.instance)
    with stage("inside", host.instance):
        kernel.setns(pidfd, flags | (kernel.CLONE_NEWUSER if host.user_namespace else 0))
    os.close(pidfd)


def _execute(spawn: Spawn, host: Started | None) -> NoReturn:
    """execvpe with the PATH that the program is given; says which of the ways to fail it was."""
    name, env = spawn.argv[0], dict(spawn.env)
    if not first_groups(spawn):
        env[MARKER] = _own_marker(spawn, host)
    folders = [""] if "/" in name else env.get("PATH", os.defpath).split(os.pathsep)
    denied = ""
    for folder in folders:
        path = os.path.join(folder, name)
        try:
            os.execve(path, spawn.argv, env)
        except (FileNotFoundError, NotADirectoryError):
            if os.path.isfile(path):
                raise Failed("interpreter", errno.ENOENT, f"{path}: {_interpreter(path)}") from None
        except PermissionError:
            denied = denied or path
        except OSError as error:
            raise Failed("exec", error.errno or 0, path) from None
    raise Failed("exec", errno.EACCES if denied else errno.ENOENT, denied or name)


def _own_marker(spawn: Spawn, host: Started | None) -> str:
    if host is not None:
        return marker(host.instance, host.pid, host.start_time)
    stat = process.Stat.of(os.getpid())
    return marker(spawn.instance, os.getpid(), stat.start_time if stat else 0)


def _interpreter(path: str) -> str:
    with open(path, "rb") as file:
        first = file.readline(256)
    return first[2:].decode(errors="replace").strip() if first.startswith(b"#!") else "its dynamic loader"
