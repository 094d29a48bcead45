"""The sandboxes of one function, as its invoker has them: started, frozen between events, measured, killed.

All calls are made in one asyncio loop. What needs another namespace is done by the cradle (`functions/cradle`);
freezing and measuring are a read or a write of a small file, and done here.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from fourfold.functions.cradle import protocol
from fourfold.functions.cradle.protocol import Group
from fourfold.functions.model import Config
from fourfold.spawner.process import write_text

_PATIENCE = 20.0
"""Seconds that the cradle has to clear up."""
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class SandboxError(Exception):
    """One sentence: what did not come about, and why."""


@dataclass(frozen=True)
class Exited:
    """How the program of a sandbox ended. `str()` is as AWS words it: `exit status 127`, `signal: killed`."""

    code: int | None
    """None: a signal ended it, or, without one either, nobody can tell."""
    signal: int | None
    oom: bool
    """The kernel killed in there for want of memory."""

    def __str__(self) -> str:
        if self.signal is not None:
            return f"signal: {(signal.strsignal(self.signal) or str(self.signal)).lower()}"
        return f"exit status {self.code}" if self.code is not None else "exit status unknown"


@dataclass(frozen=True)
class Measured:
    """Of a sandbox with all that it started; None where this host counts no such thing (see `Sandboxes.missing`)."""

    peak_bytes: int | None
    """Most memory at once since `begin`."""
    cpu_seconds: float | None
    """Since it was started."""


@dataclass(eq=False)
class Sandbox:
    number: int
    """0 to concurrency - 1: the place of its address in the block. Used again after `kill`."""
    pid: int
    """On this host, of its first process."""
    listener: socket.socket
    """Non-blocking; listens on RUNTIME_API inside the sandbox. Closed by `kill`."""
    output: int
    """Read end of the pipe that is its stdout and stderr; non-blocking. It is the invoker's to close, after `kill`:
    what was written before the end can still be read then."""
    exited: asyncio.Future[Exited]
    """Done once its program has ended and every process of it is gone, be it by itself or by `kill`. The sandbox still
    has its number until `kill`."""
    group: Group = field(repr=False)
    gone: asyncio.Future[None] = field(repr=False)
    """`kill` is done with it."""
    frozen: bool = False
    killed: bool = False
    entitled: bool = False
    """Its CPU is limited to what comes with its memory: from its first event on."""
    peak: int = -1
    """Descriptor that its peak is read by, where the kernel forgets it for one descriptor only (Linux 6.12)."""


class Sandboxes:
    def __init__(self, process: asyncio.subprocess.Process, cradle: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        self.missing: Mapping[str, str] = {}
        """What cannot be limited or measured here (`cpu memory pids freezer network forkserver`) -> why."""
        self.notes: list[str] = []
        """Lines for the log, such as what was not preloaded, and why; more may come."""
        self.lost: asyncio.Future[str] = loop.create_future()
        """Done, with a sentence, when the cradle has ended by itself: all sandboxes are gone, and the invoker is to
        end. The kernel sees to that; their control groups are the supervisor's to remove."""
        self._process, self._cradle, self._loop = process, cradle, loop
        self._opened: asyncio.Future[None] = loop.create_future()
        self._asked: dict[int, asyncio.Future[Sandbox]] = {}
        self._next = 0
        self._sandboxes: dict[int, Sandbox] = {}
        self._unsaid: deque[Mapping[str, Any]] = deque()
        self._closing = False
        loop.add_reader(cradle.fileno(), self._hear)

    @classmethod
    async def open(cls, config: Config, env: Mapping[str, str]) -> Sandboxes:
        """Start the cradle (and of kind python the fork server). `env` is the whole environment of the programs.

        SandboxError: this host cannot do it.
        """
        ours, theirs = protocol.pair()
        with theirs:
            protocol.make_room(ours)
            command = (sys.executable, "-I", "-m", "fourfold.functions.cradle")
            process = await asyncio.create_subprocess_exec(*command, stdin=theirs.fileno(), env={"PATH": _PATH})
        protocol.send(ours, {"config": config.to_json(), "env": dict(env)})
        ours.setblocking(False)
        sandboxes = cls(process, ours)
        try:
            await sandboxes._opened
        except BaseException:
            await sandboxes.close()
            raise
        return sandboxes

    @property
    def cradle(self) -> int:
        """Its pid."""
        return self._process.pid

    async def start(self) -> Sandbox:
        """One more: a prepared one where there is, else a new one. Its program runs when this returns.

        A program that is not there ends with status 127. SandboxError: all of `concurrency` are in use, or the kernel
        refuses.
        """
        if self._cradle.fileno() < 0:
            raise SandboxError("cannot start a sandbox: the cradle has ended")
        self._next += 1
        asked: asyncio.Future[Sandbox] = self._loop.create_future()
        self._asked[self._next] = asked
        self._tell({"do": "start", "id": self._next})
        return await asked

    def begin(self, sandbox: Sandbox) -> None:
        """An event is about to be given to it: forget its peak of memory. From the first on its CPU is limited."""
        if not sandbox.entitled:
            sandbox.entitled = True
            if sandbox.group.quota:
                write_text(sandbox.group.quota, sandbox.group.share)
        if sandbox.group.peak.endswith(".max_usage_in_bytes"):
            write_text(sandbox.group.peak, "0")
        elif sandbox.group.peak and sandbox.peak < 0:
            with suppress(OSError):
                sandbox.peak = os.open(sandbox.group.peak, os.O_RDWR | os.O_CLOEXEC)
        if sandbox.peak >= 0:
            with suppress(OSError):
                os.pwrite(sandbox.peak, b"reset", 0)

    def freeze(self, sandbox: Sandbox) -> None:
        """Let none of its processes run, from now on (a little after this returns). No-op where that is missing."""
        path = sandbox.group.freeze
        if path and not sandbox.frozen and not sandbox.killed:
            sandbox.frozen = write_text(path, "1" if path.endswith(".freeze") else "FROZEN")

    async def thaw(self, sandbox: Sandbox) -> None:
        """Let them run again; they do when this returns. No-op for one that is not frozen."""
        path = sandbox.group.freeze
        if sandbox.frozen:
            sandbox.frozen = False
            write_text(path, "0" if path.endswith(".freeze") else "THAWED")

    async def kill(self, sandbox: Sandbox) -> None:
        """End all of its processes, frozen ones too, and give up what it has; returns when it is gone.

        To be called of each sandbox once, of one that has ended by itself too; the second time waits for the first.
        """
        if not sandbox.killed:
            sandbox.killed = True
            self._tell({"do": "kill", "number": sandbox.number})
        await asyncio.shield(sandbox.gone)

    def usage(self, sandbox: Sandbox) -> Measured:
        """Before `kill`; of one that has ended by itself too."""
        peak = _read_open(sandbox.peak) if sandbox.peak >= 0 else _read(sandbox.group.peak)
        if sandbox.peak < 0 and not sandbox.group.peak.endswith(".max_usage_in_bytes"):
            peak = _read(sandbox.group.memory) if sandbox.entitled else peak  # it would be that of all events so far
        cpu = _read(sandbox.group.cpu)
        return Measured(int(peak) if peak else None, _cpu_seconds(cpu))

    async def close(self) -> None:
        """Kill all, and end the cradle."""
        self._closing = True
        self._tell({"do": "close"})
        try:
            await asyncio.wait_for(self._process.wait(), _PATIENCE)
        except TimeoutError:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        self._hear_end("it was closed")
        if not self.lost.done():
            self.lost.cancel()

    def _tell(self, message: Mapping[str, Any]) -> None:
        self._unsaid.append(message)
        if len(self._unsaid) == 1:
            self._say()

    def _say(self) -> None:
        """What was kept while the cradle had too much to hear."""
        while self._unsaid and self._cradle.fileno() >= 0:
            try:
                protocol.send(self._cradle, self._unsaid[0])
            except BlockingIOError:
                return self._loop.add_writer(self._cradle.fileno(), self._say)
            except OSError:  # it has ended, and that is heard
                self._unsaid.clear()
                break
            self._unsaid.popleft()
        if self._cradle.fileno() >= 0:
            self._loop.remove_writer(self._cradle.fileno())

    def _hear(self) -> None:
        while True:
            try:
                received = protocol.receive(self._cradle)
            except BlockingIOError:
                return
            except OSError:
                received = None
            if received is None:
                return self._hear_end("the cradle has ended")
            self._handle(*received)

    def _handle(self, message: dict[str, Any], descriptors: list[int]) -> None:
        match message["say"]:
            case "open":
                self.missing = message["missing"]
                self._opened.set_result(None)
            case "failed":
                self._opened.set_exception(SandboxError(f"cannot make sandboxes: {message['error']}"))
            case "note":
                self.notes.append(message["line"])
            case "started":
                self._started(message, *descriptors)
            case "refused":
                asked = self._asked.pop(message["id"])
                if not asked.done():
                    asked.set_exception(SandboxError(f"cannot start a sandbox: {message['error']}"))
            case "exited":
                exited = Exited(message["code"], message["signal"], message["oom"])
                self._sandboxes[message["number"]].exited.set_result(exited)
            case "gone":
                self._gone(self._sandboxes.pop(message["number"]))

    def _started(self, message: dict[str, Any], listening: int, output: int) -> None:
        sandbox = Sandbox(
            message["number"],
            message["pid"],
            socket.socket(fileno=listening),
            output,
            self._loop.create_future(),
            Group(**message["group"]),
            self._loop.create_future(),
        )
        sandbox.listener.setblocking(False)
        self._sandboxes[sandbox.number] = sandbox
        asked = self._asked.pop(message["id"])
        if asked.done():  # who asked was cancelled
            os.close(output)
            sandbox.killed = True
            self._tell({"do": "kill", "number": sandbox.number})
        else:
            asked.set_result(sandbox)

    def _gone(self, sandbox: Sandbox) -> None:
        sandbox.listener.close()
        if sandbox.peak >= 0:
            os.close(sandbox.peak)
            sandbox.peak = -1
        if not sandbox.gone.done():
            sandbox.gone.set_result(None)

    def _hear_end(self, why: str) -> None:
        """Everybody who waits is told."""
        if self._cradle.fileno() < 0:
            return
        self._loop.remove_reader(self._cradle.fileno())
        self._loop.remove_writer(self._cradle.fileno())
        self._cradle.close()
        error = SandboxError(f"cannot start a sandbox: {why}")
        waiting: list[asyncio.Future[Any]] = [*self._asked.values(), self._opened]
        for asked in waiting:
            if not asked.done():
                asked.set_exception(error)
        for sandbox in self._sandboxes.values():
            if not sandbox.exited.done():
                sandbox.exited.set_result(Exited(None, signal.SIGKILL, False))
            self._gone(sandbox)
        self._sandboxes.clear()
        if not self._closing and not self.lost.done():
            self.lost.set_result(why)


def _read(path: str) -> str:
    """Empty: there is no such file (any more). Read for each event, so without `Path`, which takes most of the time."""
    with suppress(OSError):
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.read(fd, 4096).decode()
        finally:
            os.close(fd)
    return ""


def _read_open(fd: int) -> str:
    with suppress(OSError):
        return os.pread(fd, 64, 0).decode()
    return ""


def _cpu_seconds(text: str) -> float | None:
    """Of `cpuacct.usage`, in nanoseconds, or `cpu.stat` (v2)."""
    words = text.split()
    if not words:
        return None
    return int(words[0]) / 1e9 if words[0].isdigit() else int(words[words.index("usage_usec") + 1]) / 1e6
