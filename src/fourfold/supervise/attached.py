"""The daemon's end of a program whose streams it holds: pipes, or a pseudo-terminal."""

from __future__ import annotations

import asyncio
import fcntl
import os
import struct
import termios
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any

from fourfold.supervise.model import Exit

_CHUNK = 65536
_LATE_OUTPUT = 0.2
"""Seconds that output may take after the program has ended: a child left behind may hold its streams for ever."""


class Held:
    """Implements `attach.Attached`. `ended` resolves when the program has."""

    def __init__(
        self,
        input: int,
        outputs: dict[int, int],
        ended: asyncio.Future[Exit],
        send: Callable[[str], Awaitable[None]],
    ) -> None:
        """`outputs`: descriptor -> 1 or 2. With a terminal `input` is also the one output."""
        self._input: int | None = input
        self._outputs = outputs
        self._tty = input in outputs
        self._ended = ended
        self._send = send
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        for fd in {input, *outputs}:
            os.set_blocking(fd, False)

    async def write(self, data: bytes) -> None:
        while data and self._input is not None:
            try:
                data = data[os.write(self._input, data) :]
            except BlockingIOError:
                await self._ready([self._input], self._loop.add_writer, self._loop.remove_writer)
            except OSError:  # it reads no more
                return

    async def close_input(self) -> None:
        if self._tty:
            await self.write(b"\x04")
        elif self._input is not None:
            os.close(self._input)
            self._input = None

    async def read(self) -> tuple[int, bytes] | None:
        while self._outputs:
            for fd, number in list(self._outputs.items()):
                try:
                    data = os.read(fd, _CHUNK)
                except BlockingIOError:
                    continue
                except OSError:  # EIO: nobody has the terminal open any more
                    data = b""
                if data:
                    return number, data
                del self._outputs[fd]
                if fd != self._input:
                    os.close(fd)
            if self._outputs and not await self._more():
                return None
        return None

    def resize(self, rows: int, columns: int) -> None:
        if self._tty and self._input is not None:
            with suppress(OSError):
                fcntl.ioctl(self._input, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))

    def signal(self, name: str) -> None:
        self._soon(self._send(name))

    async def wait(self) -> int:
        ended = await asyncio.shield(self._ended)
        return ended.code if ended.code is not None else 128 + (ended.signal or 127)

    async def close(self) -> None:
        if not self._ended.done():
            await self._send("KILL")
            await asyncio.shield(self._ended)
        for fd in {*self._outputs, *([] if self._input is None else [self._input])}:
            os.close(fd)
        self._outputs, self._input = {}, None

    async def _more(self) -> bool:
        """Wait for output. -> False: the program has ended and nothing more came."""
        readable = asyncio.ensure_future(
            self._ready(list(self._outputs), self._loop.add_reader, self._loop.remove_reader)
        )
        try:
            either: list[asyncio.Future[Any]] = [readable, self._ended]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not readable.done():
                await asyncio.wait([readable], timeout=_LATE_OUTPUT)
            return readable.done()
        finally:
            readable.cancel()

    async def _ready(
        self, fds: Iterable[int], add: Callable[[int, Callable[[], None]], None], remove: Callable[[int], bool]
    ) -> None:
        future: asyncio.Future[None] = self._loop.create_future()
        for fd in fds:
            add(fd, lambda: None if future.done() else future.set_result(None))
        try:
            await future
        finally:
            for fd in fds:
                remove(fd)

    def _soon(self, action: Awaitable[None]) -> None:
        task = asyncio.ensure_future(action)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def open_streams(tty: bool) -> tuple[list[int], int, dict[int, int]]:
    """-> (the program's three, our input, our outputs)."""
    if tty:
        ours, theirs = os.openpty()
        return [theirs, os.dup(theirs), os.dup(theirs)], ours, {ours: 1}
    (stdin, to_stdin), (from_stdout, stdout), (from_stderr, stderr) = os.pipe(), os.pipe(), os.pipe()
    return [stdin, stdout, stderr], to_stdin, {from_stdout: 1, from_stderr: 2}
