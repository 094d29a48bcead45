"""What comes in is looked after: it ends where the disk would get too full."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from fourfold.errors import WorldError
from fourfold.store.room import LOOK_BYTES, while_room


def test_it_ends_when_there_is_no_room_any_more() -> None:
    looks: list[int] = []

    def require() -> None:
        looks.append(1)
        if len(looks) > 2:
            raise WorldError("full")

    async def pieces() -> AsyncIterator[bytes]:
        while True:
            yield bytes(LOOK_BYTES // 2)

    async def scenario() -> int:
        taken = 0
        with pytest.raises(WorldError, match="full"):
            async for piece in while_room(pieces(), require):
                taken += len(piece)
        return taken

    assert asyncio.run(scenario()) == 2 * LOOK_BYTES
