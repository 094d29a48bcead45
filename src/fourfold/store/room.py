"""How much of a disk stays free: nobody may fill it to its last byte, or nothing can be written down any more."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from fourfold.errors import WorldError

LOOK_BYTES = 16 * 1024**2
"""Of what comes in, between looks at how much of the disk is free."""
PART = 20
"""On a small disk, this part of it stays free, whatever the setting says."""


def floor_of(total: int, free_bytes: int) -> int:
    """Bytes that stay free on a disk of `total` bytes."""
    return min(free_bytes, total // PART)


def lacking(folder: Path, free_bytes: int) -> int:
    """Bytes that are missing to what is to stay free on the disk of `folder`; negative: so many are left."""
    usage = shutil.disk_usage(folder)
    return floor_of(usage.total, free_bytes) - usage.free


def require_room(folder: Path, free_bytes: int, what: str, size: int = 0) -> None:
    """Raises WorldError, "cannot WHAT: …", where `size` bytes more would leave less free than has to stay so."""
    usage = shutil.disk_usage(folder)
    floor = floor_of(usage.total, free_bytes)
    if usage.free - size < floor:
        mebibyte = 1024**2
        takes = f", and it takes {size // mebibyte:,} MiB" if size else ""
        raise WorldError(
            f"cannot {what}: its disk has {usage.free // mebibyte:,} MiB free{takes}; {floor // mebibyte:,} MiB stay "
            f"free ({folder})",
            "`fourfold gc` removes what is not needed; `free_bytes` in fourfold.toml says what stays free",
        )


async def while_room(pieces: AsyncIterator[bytes], require: Callable[[], None]) -> AsyncIterator[bytes]:
    """What comes in to be written, for as long as `require` (see `require_room`) raises nothing."""
    since = LOOK_BYTES
    async for piece in pieces:
        since += len(piece)
        if since >= LOOK_BYTES:
            await asyncio.to_thread(require)
            since = 0
        yield piece
