"""HTTP as the server of handlers reads it."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from fourfold.build.handlers.server.wire import Request, read

LIMIT, PIECE, PIECES = 1000, bytes(64 * 1024), 100


@pytest.mark.parametrize(
    ("head", "end"),
    [
        (f"Content-Length: {len(PIECE) * PIECES}\r\n\r\n", b""),
        (f"Transfer-Encoding: chunked\r\n\r\n{len(PIECE) * PIECES:x}\r\n", b"\r\n0\r\n\r\n"),
    ],
    ids=["length", "one chunk"],
)
def test_a_body_that_is_too_long_is_passed_over_not_kept(head: str, end: bytes) -> None:
    asyncio.run(_passed_over(head, end))


async def _passed_over(head: str, end: bytes) -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(f"POST / HTTP/1.1\r\n{head}".encode())
    reading = asyncio.create_task(read(reader, cast(asyncio.StreamWriter, None), LIMIT, drop=True))
    waiting = 0
    for _ in range(PIECES):
        reader.feed_data(PIECE)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        waiting = max(waiting, len(reader._buffer))  # type: ignore[attr-defined]
    reader.feed_data(end + b"GET /next HTTP/1.1\r\n\r\n")
    request = await reading
    assert isinstance(request, Request) and len(request.body) == LIMIT + 1
    assert waiting < 4 * len(PIECE)
    following = await read(reader, cast(asyncio.StreamWriter, None), LIMIT, drop=True)
    assert following is not None and following.path == "/next"
