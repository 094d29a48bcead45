"""The connection to a guest, without one: what it is in a machine is in tests/guest."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from fourfold.supervise.machines.guest import Guest


def test_closed_before_anything_was_awaited() -> None:
    """QEMU takes the next client when the one before has really gone."""

    async def run(path: Path) -> None:
        ended = asyncio.Event()

        async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.readexactly(24))
            assert await reader.read() == b""
            ended.set()
            writer.close()

        async with await asyncio.start_unix_server(greet, path):
            guest = await Guest.connect(path, 20)
            await guest.close()
            assert guest.closed.is_set()
            await asyncio.wait_for(ended.wait(), 20)

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder) / "control"))
