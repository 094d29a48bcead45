"""QEMU's own protocol (docs/interop/qmp-spec.txt): JSON lines over a Unix socket, with one client at a time."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fourfold.errors import WorldError

_LONGEST_LINE = 1 << 20


class Qmp:
    """A connection to one machine. WorldError: QEMU is gone, or says no."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._events: list[Mapping[str, Any]] = []

    async def ask(self, command: Mapping[str, Any], fd: int | None = None) -> Any:
        """-> what it returns. `fd` goes along, for `getfd`."""
        name = command["execute"]
        line = json.dumps(command).encode() + b"\n"
        try:
            if fd is None:
                self._writer.write(line)
                await self._writer.drain()
            else:  # nothing else is on its way, and a line fits into the socket
                with self._writer.get_extra_info("socket").dup() as raw:
                    socket.send_fds(raw, [line], [fd])
        except OSError as error:
            raise WorldError(f"cannot ask QEMU for {name}: {error.strerror}") from error
        while True:
            answer = await self._next()
            if "error" in answer:
                raise WorldError(f"QEMU refuses {name}: {answer['error'].get('desc')}")
            if "return" in answer:
                return answer["return"]
            self._events.append(answer)

    async def event(self) -> Mapping[str, Any]:
        """The next one: `{"event": "MIGRATION", "data": {"status": "completed"}, …}`."""
        return self._events.pop(0) if self._events else await self._next()

    async def _next(self) -> Mapping[str, Any]:
        try:
            if not (line := await self._reader.readline()):
                raise WorldError("cannot talk to QEMU: it has ended")
            said: Mapping[str, Any] = json.loads(line)
        except (OSError, ValueError) as error:
            raise WorldError(f"cannot talk to QEMU: {error}") from error
        return said

    async def begin(self) -> None:
        """Its greeting, and ours."""
        await self._next()
        await self.ask({"execute": "qmp_capabilities"})


@asynccontextmanager
async def connected(path: Path) -> AsyncIterator[Qmp]:
    """WorldError: nobody listens there."""
    try:
        reader, writer = await asyncio.open_unix_connection(path, limit=_LONGEST_LINE)
    except OSError as error:
        raise WorldError(f"cannot reach QEMU at {path}: {error.strerror}") from error
    try:
        qmp = Qmp(reader, writer)
        await qmp.begin()
        yield qmp
    finally:
        writer.close()
