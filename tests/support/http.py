"""One HTTP/1.1 request on a connection that may be kept: just enough of RFC 9112 to count every way it can fail."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass


class BrokenAnswerError(Exception):
    """What came is not a whole HTTP answer. `kind` is one word for counting."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind


@dataclass(frozen=True)
class Answer:
    status: int
    head: bytes
    body: bytes
    keep: bool
    """The connection can take another request."""


async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> Answer:
    writer.write(request)
    await writer.drain()
    while True:
        head = await _head(reader)
        status = _status(head)
        if status >= 200:  # 1xx: the real answer follows (RFC 9110, 15.2)
            break
    fields = _fields(head)
    bodiless = request.startswith(b"HEAD ") or status in (204, 304)
    keep = b"close" not in fields.get(b"connection", b"").lower()
    if bodiless:
        return Answer(status, head, b"", keep)
    if b"chunked" in fields.get(b"transfer-encoding", b"").lower():
        return Answer(status, head, await _chunks(reader), keep)
    if (length := fields.get(b"content-length")) is not None:
        return Answer(status, head, await _exactly(reader, int(length)), keep)
    return Answer(status, head, await reader.read(-1), False)


async def _head(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise BrokenAnswerError("short", f"connection closed after {len(error.partial)} bytes of head") from None
        raise BrokenAnswerError("closed", "connection closed without an answer") from None
    except asyncio.LimitOverrunError:
        raise BrokenAnswerError("malformed", "head of more than 64 KiB") from None


def _status(head: bytes) -> int:
    parts = head.split(b" ", 2)
    if len(parts) < 2 or not parts[0].startswith(b"HTTP/1.") or not parts[1][:3].isdigit():
        raise BrokenAnswerError("malformed", f"no status line: {head[:60]!r}")
    return int(parts[1][:3])


def _fields(head: bytes) -> dict[bytes, bytes]:
    lines = (line.partition(b":") for line in head.split(b"\r\n")[1:])
    return {name.strip().lower(): value.strip() for name, _, value in lines}


async def _exactly(reader: asyncio.StreamReader, size: int) -> bytes:
    try:
        return await reader.readexactly(size)
    except asyncio.IncompleteReadError as error:
        raise BrokenAnswerError("short", f"{len(error.partial)} of {size} bytes of body") from None


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while True:
        try:
            line = await reader.readuntil(b"\r\n")
            size = int(line.split(b";")[0], 16)
        except (asyncio.IncompleteReadError, ValueError):
            raise BrokenAnswerError("short", f"chunked body ends after {len(body)} bytes") from None
        body += (await _exactly(reader, size + 2))[:size]
        if size == 0:
            return bytes(body)
