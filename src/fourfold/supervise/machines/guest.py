"""The daemon's end of a virtual machine's control channel: signals, programs beside the service, usage, the clock.

What the frames mean is in `guest/README.md`. QEMU takes one client at a time on the socket. One that comes after
another may find the other's remains in both directions: it says HELLO with bytes that nobody has used before, and takes
for its own what follows the same bytes from the guest.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fourfold.errors import UserError, WorldError
from fourfold.launch.model import User
from fourfold.supervise.machines.frames import Kind, entries, frame, frames, read_entries
from fourfold.supervise.machines.sessions import Session

_PATIENCE = 10.0
"""Seconds for an answer; the guest itself takes milliseconds, but may wait long for its turn on a busy host."""
_HELLO = 2.0
"""Seconds until HELLO is tried on a new connection: the client before may have ended within a frame, and ours is taken
for the rest of that. The guest forgets it where it sees that there is no client."""
_PAUSE = 0.1
"""Seconds until then, for it to see that."""
_NUMBERS = 0xFFFF
_HINT = "see its log; a machine that does not answer is replaced when its liveness check fails"


@dataclass(frozen=True)
class GuestUsage:
    """What the guest says of itself. Sizes in bytes."""

    cpu_seconds: float
    """Of the service."""
    memory_bytes: int
    """Used in the guest, by all."""
    memory_total: int
    processes: int
    """Of the service, threads included."""
    uptime: float
    listens: tuple[str, ...] = ()
    """Where programs listen for TCP, as /proc/net/tcp writes it: `0100007F:1F90`."""


class Guest:
    """One connection. `closed` is set when it has ended, whoever ended it: the owner may connect again."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, unread: bytearray) -> None:
        self._reader = reader
        self._writer = writer
        self._unread = unread
        self._answers: dict[int, asyncio.Future[bytes]] = {}
        self._sessions: dict[int, Session] = {}
        self._number = 0
        self.closed = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._read(), name="guest connection")

    @classmethod
    async def connect(cls, socket: Path, timeout: float) -> Guest:
        """Waits for the guest to be there. Raises WorldError: nobody listens, or it does not answer in time."""
        try:
            async with asyncio.timeout(timeout):
                pause, patience = _PAUSE, _HELLO
                while True:
                    reader, writer = await _open(socket)
                    try:
                        return cls(reader, writer, await asyncio.wait_for(_greet(reader, writer), patience))
                    except (TimeoutError, ConnectionError):
                        writer.transport.abort()
                    except BaseException:
                        writer.transport.abort()
                        raise
                    await asyncio.sleep(pause)
                    pause, patience = 2 * pause, 2 * patience  # the host may be busy
        except TimeoutError as error:
            raise silent(socket) from error
        except OSError as error:
            raise WorldError(f"cannot connect to the guest at {socket}: {error.strerror or error}", _HINT) from error

    async def signal(self, name: str) -> None:
        """To the service's main process: `TERM`."""
        await self._do(Kind.SIGNAL, name.encode())

    async def set_time(self, now: float) -> None:
        """`now`: seconds since the epoch."""
        await self._do(Kind.TIME, f"{now:.6f}".encode())

    async def freeze(self) -> None:
        """The service stands still; the guest goes on with it when it is given another configuration, or by `thaw`."""
        await self._do(Kind.FREEZE)

    async def thaw(self) -> None:
        await self._do(Kind.THAW)

    async def usage(self) -> GuestUsage:
        values = read_entries(await self._ask(Kind.USAGE))
        try:
            return GuestUsage(
                cpu_seconds=float(values["cpu_seconds"]),
                memory_bytes=int(values["memory_bytes"]),
                memory_total=int(values["memory_total"]),
                processes=int(values["processes"]),
                uptime=float(values["uptime"]),
                listens=tuple(filter(None, values.get("listens", "").split(","))),
            )
        except (KeyError, ValueError) as error:
            raise WorldError(f"the guest's usage cannot be read: {error}", _HINT) from error

    async def execute(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        cwd: str,
        user: User | None,
        groups: Sequence[int] = (),
        tty: bool = False,
        size: tuple[int, int] = (24, 80),
    ) -> Session:
        """Run a program beside the service; `user` None: as root. `size`: rows and columns of the terminal.

        It is an `attach.Attached`. What keeps the program from running is read from it as errors, with exit code 126 or
        127 as of a shell. Raises UserError for words that no program can be given, WorldError when the guest is gone.
        """
        pairs = [
            *(("argv", word) for word in argv),
            *(("env", f"{name}={value}") for name, value in env.items()),
            ("cwd", cwd),
            ("uid", str(user.uid if user else 0)),
            ("gid", str(user.gid if user else 0)),
            ("groups", ",".join(map(str, groups))),
            *([("tty", f"{size[0]}:{size[1]}")] if tty else []),
        ]
        try:
            payload = entries(pairs)
        except ValueError as error:
            raise UserError("cannot run a program: a word of it has a NUL byte") from error
        self._require_open()
        number = self._next()
        session = self._sessions[number] = Session(self, number, tty)
        self.post(Kind.EXEC, number, payload)
        await self.drain()
        return session

    async def close(self) -> None:
        """Its sessions end with it; the service goes on."""
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        self._end()  # a task that is cancelled before its first step runs no `finally`

    def post(self, kind: Kind, session: int, payload: bytes = b"") -> None:
        if not self.closed.is_set():
            self._writer.write(frame(kind, session, payload))

    async def drain(self) -> None:
        with suppress(OSError):  # the reader sees the end too
            await self._writer.drain()

    async def _do(self, kind: Kind, payload: bytes = b"") -> None:
        if wrong := await self._ask(kind, payload):
            raise WorldError(f"the guest cannot {kind.name.lower()}: {wrong.decode(errors='replace')}", _HINT)

    async def _ask(self, kind: Kind, payload: bytes = b"") -> bytes:
        self._require_open()
        number = self._next()
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        try:
            self.post(kind, number, payload)
            async with asyncio.timeout(_PATIENCE):
                return await answer
        except TimeoutError as error:
            raise WorldError(f"the guest does not answer ({kind.name.lower()})", _HINT) from error
        finally:
            self._answers.pop(number, None)

    def _require_open(self) -> None:
        if self.closed.is_set():
            raise WorldError("the connection to the guest is gone", _HINT)

    def _next(self) -> int:
        """A number that no session and no question has."""
        for _ in range(_NUMBERS):
            self._number = self._number % _NUMBERS + 1
            if self._number not in self._sessions and self._number not in self._answers:
                return self._number
        raise WorldError("too many programs run in the guest")

    async def _read(self) -> None:
        try:
            while True:
                for session, kind, payload in frames(self._unread):
                    self._take(session, kind, payload)
                data = await self._reader.read(1 << 18)
                if not data:
                    return
                self._unread += data
        except OSError:
            pass
        finally:
            self._end()

    def _take(self, number: int, kind: int, payload: bytes) -> None:
        if kind in (Kind.DONE, Kind.USAGE):
            answer = self._answers.get(number)
            if answer and not answer.done():
                answer.set_result(payload)
        elif (session := self._sessions.get(number)) and session.take(kind, payload):
            del self._sessions[number]

    def _end(self) -> None:
        """Harmless when it has ended already."""
        self.closed.set()
        self._writer.transport.abort()
        for session in self._sessions.values():
            session.lose()
        self._sessions.clear()
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(WorldError("the connection to the guest is gone", _HINT))


def silent(socket: Path) -> WorldError:
    return WorldError(f"the guest at {socket} does not answer", _HINT)


async def _open(path: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    sock = socket.socket(socket.AF_UNIX)
    sock.setblocking(False)
    try:
        folder = os.open(path.parent, os.O_PATH | os.O_CLOEXEC)
        try:  # by way of the folder's descriptor, for a socket's own path may have 107 bytes at most
            await asyncio.get_running_loop().sock_connect(sock, f"/proc/self/fd/{folder}/{path.name}")
        finally:
            os.close(folder)
        return await asyncio.open_unix_connection(sock=sock)
    except BaseException:
        sock.close()
        raise


async def _greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytearray:
    """-> what the guest has sent behind its HELLO."""
    hello = frame(Kind.HELLO, 0, secrets.token_bytes(16))
    writer.write(hello)
    await writer.drain()
    unread = bytearray()
    while (place := unread.find(hello)) < 0:
        del unread[: -len(hello)]
        data = await reader.read(1 << 18)
        if not data:
            raise ConnectionResetError("it has ended")
        unread += data
    return unread[place + len(hello) :]
