"""A program in or beside a service that is not there."""

from __future__ import annotations

import asyncio


class FakeProgram:
    """Echoes its input to standard output until the input ends, then exits with `code`.

    Like `cat`, it holds next to nothing: what is not read from it keeps it from reading.
    """

    def __init__(self, code: int = 7) -> None:
        self.code = code
        self.actor = ""
        self.closed = False
        self.reads = True
        """False: nothing takes its input."""
        self.stubborn = False
        """Signals do not end it."""
        self.sizes: list[tuple[int, int]] = []
        self.signals: list[str] = []
        self._pieces: asyncio.Queue[tuple[int, bytes] | None] = asyncio.Queue(1)

    async def write(self, data: bytes) -> None:
        if not self.reads:
            await asyncio.Event().wait()
        await self._pieces.put((1, data))

    async def close_input(self) -> None:
        await self._pieces.put((2, b"bye\n"))
        await self._pieces.put(None)

    async def read(self) -> tuple[int, bytes] | None:
        return await self._pieces.get()

    def resize(self, rows: int, columns: int) -> None:
        self.sizes.append((rows, columns))

    def signal(self, name: str) -> None:
        self.signals.append(name)
        if self.stubborn:
            return
        self.code = 128 + 15
        while not self._pieces.empty():
            self._pieces.get_nowait()
        self._pieces.put_nowait(None)

    async def wait(self) -> int:
        return self.code

    async def close(self) -> None:
        self.closed = True
