"""A program in a virtual machine whose standard streams come through its control channel."""

from __future__ import annotations

import asyncio
import struct
from typing import Protocol

from fourfold.supervise.machines.frames import CHUNK, WINDOW, Kind

_U32 = struct.Struct("<I")
_U16_U16 = struct.Struct("<HH")
_KILLED = 128 + 9


class Channel(Protocol):
    def post(self, kind: Kind, session: int, payload: bytes = b"") -> None:
        """Send at once; after the end of the connection nothing."""
        ...

    async def drain(self) -> None:
        """Wait until there is room for more."""
        ...


class Session:
    """Implements `attach.Attached`. Neither side sends more than the other has said that it will take."""

    def __init__(self, channel: Channel, number: int, tty: bool) -> None:
        self._channel = channel
        self._number = number
        self._tty = tty
        self._output: asyncio.Queue[tuple[int, bytes] | None] = asyncio.Queue()
        self._read = 0
        """Bytes that the guest has not been told of."""
        self._room = WINDOW
        self._more = asyncio.Event()
        self._input_ended = False
        self._exit: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def write(self, data: bytes) -> None:
        while data and not self._input_ended and not self._exit.done():
            if self._room == 0:
                self._more.clear()
                await self._more.wait()
                continue
            chunk, data = data[: min(self._room, CHUNK)], data[min(self._room, CHUNK) :]
            self._room -= len(chunk)
            self._channel.post(Kind.INPUT, self._number, chunk)
            await self._channel.drain()

    async def close_input(self) -> None:
        if not self._input_ended and not self._exit.done():
            self._input_ended = not self._tty
            self._channel.post(Kind.INPUT, self._number)

    async def read(self) -> tuple[int, bytes] | None:
        item = await self._output.get()
        if item is None:
            self._output.put_nowait(None)
            return None
        self._read += len(item[1])
        if not self._exit.done() and (self._read >= WINDOW // 4 or self._output.empty()):
            self._channel.post(Kind.MORE, self._number, _U32.pack(self._read))
            self._read = 0
        return item

    def resize(self, rows: int, columns: int) -> None:
        if self._tty and not self._exit.done():
            size = (max(0, min(each, 0xFFFF)) for each in (rows, columns))
            self._channel.post(Kind.RESIZE, self._number, _U16_U16.pack(*size))

    def signal(self, name: str) -> None:
        if not self._exit.done():
            self._channel.post(Kind.KILL, self._number, name.encode())

    async def wait(self) -> int:
        return await asyncio.shield(self._exit)

    async def close(self) -> None:
        if not self._exit.done():
            self.signal("KILL")
        while await self.read():
            pass  # what nobody reads would hold its end back

    def take(self, kind: int, payload: bytes) -> bool:
        """A frame of this session. -> whether it was the last."""
        if self._exit.done():
            return True
        if kind in (Kind.OUTPUT, Kind.ERRORS):
            self._output.put_nowait((1 if kind == Kind.OUTPUT else 2, payload))
        elif kind == Kind.MORE and len(payload) == _U32.size:
            self._room = min(WINDOW, self._room + _U32.unpack(payload)[0])
            self._more.set()
        elif kind == Kind.EXIT and payload:
            self._end(payload[0])
        return self._exit.done()

    def lose(self) -> None:
        """The connection is gone: the guest ends what its client leaves behind."""
        if not self._exit.done():
            self._end(_KILLED)

    def _end(self, code: int) -> None:
        self._exit.set_result(code)
        self._more.set()
        self._output.put_nowait(None)
