"""Fork server of a Python function: run by the function's own interpreter (3.8 or later), standard library only.

It runs as the service's user, without capabilities, and imports what may be shared: the runtime client, and what the
handler's modules import. For each sandbox the cradle sends it the ends of a channel and of the output pipe, and where
to join control groups. A child enters a user namespace that its user owns, which gives it the right to make the other
namespaces, forks the first process of the sandbox there, and ends; the cradle connects the network meanwhile. That
first process mounts what is private, gives up all rights, forks the program, and waits for it, as an init does.

On the channel: `here` (namespaces are made) and `parked` (ready to go) up, then `ended STATUS`; `on` and `go` down.
"""

from __future__ import annotations

import ast
import ctypes
import gc
import importlib
import json
import os
import signal
import socket
import struct
import sys
import traceback
from contextlib import suppress
from typing import Any, Iterator, NoReturn

CONTROL = 3
"""Descriptor of the socket to the cradle."""
TASK = "/var/task"
CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER = 0x20000, 0x4000000, 0x8000000, 0x10000000
CLONE_NEWPID, CLONE_NEWNET = 0x20000000, 0x40000000
_NOSUID, _NODEV, _NOEXEC = 2, 4, 8
_PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS, _PR_SET_PDEATHSIG = 4, 38, 1
_CAPABILITIES_V3 = 0x20080522
_DEEPEST = 8
"""Modules of the function's own that import each other are followed so far."""

_libc = ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: Any) -> None:
    """One of libc's. OSError."""
    if getattr(_libc, name)(*arguments) < 0:
        code = ctypes.get_errno()
        raise OSError(code, "{}: {}".format(name, os.strerror(code)))


def prctl(option: int, value: int) -> None:
    call("prctl", ctypes.c_int(option), *(ctypes.c_ulong(n) for n in (value, 0, 0, 0)))


def mount(kind: str, target: str, flags: int, options: str) -> None:
    call("mount", kind.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), options.encode() or None)


# what the first process of a sandbox does, whoever made it


def furnish(scratch: Any) -> None:
    """Its own /proc, and empty folders to write to: (path, bytes)."""
    mount("proc", "/proc", _NOSUID | _NODEV | _NOEXEC, "")
    for path, size in scratch:
        mount("tmpfs", path, _NOSUID | _NODEV, "mode=1777,size={},nr_inodes=100k".format(size))


def give_up_rights() -> None:
    """Capabilities, and ways to new ones."""
    prctl(_PR_SET_NO_NEW_PRIVS, 1)
    header = struct.pack("Ii", _CAPABILITIES_V3, 0)
    call("capset", ctypes.c_char_p(header), ctypes.c_char_p(bytes(24)))
    prctl(_PR_SET_DUMPABLE, 1)  # or /proc/self would be root's: not even /dev/stdout could be opened


def die_with_parent() -> None:
    """After the last change of ids or rights, which would undo it (prctl(2))."""
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def be_init(channel: socket.socket, output: int) -> None:
    """Fork the program; returns in it once it may go. Its exit ends the sandbox: the kernel kills what else is there.

    A program that was process 1 itself could not be ended by its own signals, nor would its orphans be waited for.
    """
    for number in (signal.SIGINT, signal.SIGCHLD, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    program = os.fork()
    if program == 0:
        return _await_go(channel, output)
    os.close(output)
    null = os.open(os.devnull, os.O_RDWR)
    for fd in range(3):
        os.dup2(null, fd)
    channel.send(b"parked")
    while True:
        pid, status = os.wait()
        if pid == program:
            channel.send("ended {}".format(status).encode())
            os._exit(0)


def _await_go(channel: socket.socket, output: int) -> None:
    os.setsid()
    null = os.open(os.devnull, os.O_RDONLY)
    for number, fd in enumerate((null, output, output)):
        os.dup2(fd, number)
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("500")  # rather the program than its init, which tells what happened
    if channel.recv(16) != b"go":
        os._exit(0)
    for fd in (channel.detach(), output, null):
        os.close(fd)
    os.chdir(TASK)


# preloading


def own_sources(handler: str) -> Iterator[str]:
    """Files of the handler's module and of the function's own modules that it imports, nearest first."""
    third = third_party()
    waiting = [(handler.rpartition(".")[0].replace("/", "."), 0)]
    seen = set()
    while waiting:
        name, depth = waiting.pop(0)
        path = source_of(name)
        if path is None or path in seen or (depth and name.partition(".")[0] in third):
            continue
        seen.add(path)
        yield path
        if depth < _DEEPEST:
            waiting += [(each, depth + 1) for each in imported(path)]


def source_of(module: str) -> Any:
    """Its file in the function's own folder, or None."""
    base = os.path.join(TASK, *module.split("."))
    return next((path for path in (base + ".py", base + "/__init__.py") if os.path.isfile(path)), None)


def third_party() -> Any:
    """Top-level names that packages were installed under in that folder: their RECORD files name them."""
    found = set()
    for entry in os.listdir(TASK):
        record = os.path.join(TASK, entry, "RECORD")
        if entry.endswith(".dist-info") and os.path.isfile(record):
            with open(record, encoding="utf-8", errors="replace") as file:
                found |= {line.partition(",")[0].partition("/")[0] for line in file}
    return {name[:-3] if name.endswith(".py") else name.partition(".")[0] for name in found if name[:1] not in "._"}


def imported(path: str) -> Iterator[str]:
    """Modules that a file imports as it is loaded, in its order; also those that it tries to."""
    try:
        with open(path, "rb") as file:
            body = list(ast.parse(file.read()).body)
    except (OSError, SyntaxError, ValueError):
        return
    while body:
        node = body.pop(0)
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node.module
        elif isinstance(node, (ast.Try, ast.With)):
            body[:0] = node.body


def opened() -> Any:
    """What descriptors are open on: `socket:[4711]`, `pipe:[4712]`, a path."""
    found = set()
    for fd in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # that of this very folder
            found.add(os.readlink("/proc/self/fd/" + fd))
    return found


def shared(before: Any) -> str:
    """What sandboxes would have in common that they must not, beside what was open `before`; empty: nothing."""
    if len(os.listdir("/proc/self/task")) > 1:
        return "starts a thread"
    if any(name.isdigit() and name != str(os.getpid()) for name in os.listdir("/proc")):
        return "starts a process"
    new = opened() - before
    kinds = {what.partition(":")[0] for what in new}
    if any(what.startswith("/") and not what.startswith(("/dev/", "/memfd:", "/proc/")) for what in new):
        return "opens a file"  # where one has read to would be where all go on
    names = {"socket": "a socket", "pipe": "a pipe", "anon_inode": "an epoll descriptor or the like"}
    return next(("opens " + name for kind, name in names.items() if kind in kinds), "")


class Shares(Exception):
    """A module that must not be preloaded, and why."""


def preload(modules: Any, skip: Any) -> Iterator[str]:
    """-> a line for each that cannot be imported; that is told again, to whom it concerns, in the sandbox."""
    before = opened()
    for name in modules:
        if name in skip or name in sys.modules:
            continue
        try:
            importlib.import_module(name)
        except BaseException as error:
            yield "cannot preload {}: {}: {}".format(name, type(error).__name__, error)
        why = shared(before)
        if why:
            raise Shares(name, why)


def wanted(handler: str, how: str) -> Any:
    if how == "handler":
        return [handler.rpartition(".")[0].replace("/", ".")]
    if how == "none":
        return []
    third = third_party()
    found = [name for path in own_sources(handler) for name in imported(path)]
    return [name for name in dict.fromkeys(found) if name.partition(".")[0] in third or source_of(name) is None]


# serving


def serve(control: socket.socket, options: Any, users: int) -> None:
    """Fork sandboxes; returns in the program of one."""
    while True:
        data, ancillary, _, _ = control.recvmsg(65536, socket.CMSG_SPACE(4 * 16))
        if not data:
            os._exit(0)
        descriptors = [fd for _, _, fds in ancillary for fd in struct.unpack("{}i".format(len(fds) // 4), fds)]
        if os.fork() == 0:
            control.close()
            return become(descriptors[0], descriptors[1], descriptors[2:], options, users)
        for fd in descriptors:
            os.close(fd)


def become(channel_fd: int, output: int, groups: Any, options: Any, users: int) -> None:
    channel = socket.socket(fileno=channel_fd)
    try:
        call("setns", users, CLONE_NEWUSER)
        os.close(users)
        call("unshare", CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWNET)
        channel.send(b"here")
        for fd in groups:  # which may wait for every CPU: the network is made meanwhile
            os.write(fd, b"0")
            os.close(fd)
        if channel.recv(16) != b"on" or os.fork():
            os._exit(0)
        furnish(options["scratch"])
        give_up_rights()
        be_init(channel, output)
    except OSError as error:
        tell_failure(channel, error)


def tell_failure(channel: socket.socket, error: OSError) -> NoReturn:
    with suppress(OSError):  # there is no cradle any more
        channel.send("failed {}".format(error).encode()[:1000])
    os._exit(1)


def reap(*_: Any) -> None:
    """We are process 1 here, and the parent of all whose parent has ended."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def main() -> None:
    control = socket.socket(fileno=CONTROL)
    os.close(CONTROL + 1)  # this file
    sys.path[0] = TASK
    data, ancillary, _, _ = control.recvmsg(65536, socket.CMSG_SPACE(4))
    options = json.loads(data)
    users = struct.unpack("i", ancillary[0][2])[0]
    os.chdir(TASK)
    try:
        from awslambdaric.__main__ import main as run  # type: ignore[import-untyped]

        notes = list(preload(wanted(options["handler"], options["preload"]), options["skip"]))
    except Shares as error:
        end(control, {"shares": list(error.args)})
    except BaseException:
        end(control, {"error": [traceback.format_exc(limit=-3)[-2000:]]})
    for stream in (sys.stdout, sys.stderr):
        stream.flush()  # or each sandbox would say it again
    sys.argv = ["awslambdaric", options["handler"]]
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, reap)
    reap()
    control.send(json.dumps({"ready": notes}).encode())
    serve(control, options, users)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()  # as the standard library's is by itself
    run(sys.argv)


def end(control: socket.socket, message: Any) -> NoReturn:
    control.send(json.dumps(message).encode())
    os._exit(1)


if __name__ == "__main__":
    main()
