"""HTTP/1.1 as a server reads and writes it, bounded (RFC 9112)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus

MAX_HEAD = 64 * 1024
MAX_BODY = 6 * 1024 * 1024
"""Bytes of an event at most."""
MAX_ANSWER = 6_291_556
"""Bytes of a handler's answer at most: 6 MB, and what the envelope may take."""


class Refused(Exception):
    """It is answered with this status, and the connection closed."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@dataclass
class Request:
    method: str
    target: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes
    version: str
    keep: bool
    """The connection stays for the next one."""

    @property
    def path(self) -> str:
        return self.target.partition(b"?")[0].decode("latin-1")

    def header(self, name: str) -> str | None:
        wanted = name.lower().encode()
        return next((value.decode("latin-1") for key, value in self.headers if key.lower() == wanted), None)


async def read(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit: int = MAX_BODY, drop: bool = False
) -> Request | None:
    """The next request; None: there is none any more. Raises Refused.

    `drop`: a body beyond `limit` is read to its end and left out, and `body` is then longer than `limit` by one byte.
    """
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError:
        raise Refused(431) from None
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    line, *lines = head[:-4].lstrip(b"\r\n").split(b"\r\n")
    words = line.split(b" ")
    if len(words) != 3 or words[2] not in (b"HTTP/1.1", b"HTTP/1.0") or any(each[:1] in b" \t" for each in lines):
        raise Refused(400)
    headers = []
    for each in lines:
        name, colon, value = each.partition(b":")
        if not colon or not name or name != name.strip():
            raise Refused(400)
        headers.append((name, value.strip()))
    version = words[2][5:].decode()
    request = Request(words[0].decode("latin-1"), words[1], headers, b"", version, True)
    wants = (request.header("connection") or "").lower()
    request.keep = "close" not in wants and (version == "1.1" or "keep-alive" in wants)
    if (request.header("expect") or "").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    try:
        request.body = await _body(reader, request, limit, drop)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    except asyncio.LimitOverrunError:
        raise Refused(400) from None
    return request


async def _body(reader: asyncio.StreamReader, request: Request, limit: int, drop: bool) -> bytes:
    coding, length = request.header("transfer-encoding"), request.header("content-length")
    if coding is not None:
        if coding.lower() != "chunked" or length is not None:
            raise Refused(400)
        return await _chunks(reader, request, limit, drop)
    lengths = {value for name, value in request.headers if name.lower() == b"content-length"}
    if length is None:
        return b""
    if len(lengths) != 1 or not length.isascii() or not length.isdigit() or len(length) > 15:
        raise Refused(400)
    size = int(length)
    if size <= limit:
        return await reader.readexactly(size)
    if not drop:
        raise Refused(413)
    await _pass_over(reader, size)
    return bytes(limit + 1)


async def _pass_over(reader: asyncio.StreamReader, size: int) -> None:
    """None of it stays in memory."""
    while size:
        data = await reader.read(min(size, 65536))
        if not data:
            raise asyncio.IncompleteReadError(b"", size)
        size -= len(data)


async def _chunks(reader: asyncio.StreamReader, request: Request, limit: int, drop: bool) -> bytes:
    parts: list[bytes] = []
    total = 0
    while True:
        text = (await reader.readuntil(b"\r\n")).partition(b";")[0].strip()
        try:
            size = int(text, 16)
        except ValueError:
            raise Refused(400) from None
        if size < 0:
            raise Refused(400)
        if size == 0:
            break
        total += size
        if total > limit and not drop:
            raise Refused(413)
        if total > limit:
            await _pass_over(reader, size + 2)
        else:
            parts.append((await reader.readexactly(size + 2))[:-2])
    while trailer := (await reader.readuntil(b"\r\n"))[:-2]:
        name, _, value = trailer.partition(b":")
        request.headers.append((name.strip(), value.strip()))
    return b"".join(parts) if total <= limit else bytes(limit + 1)


def answer(
    status: int, headers: bytes, body: bytes, keep: bool, head: bool = False, length: int | None = None
) -> bytes:
    """One write: head and body. `headers`: lines that end in CRLF. `head`: the answer to HEAD, whose body is left out.
    `length`: of the body that such an answer stands for.
    """
    try:
        reason = HTTPStatus(status).phrase
    except ValueError:
        reason = ""
    bodiless = status in (204, 304) or status < 200
    size = b"" if bodiless else b"Content-Length: %d\r\n" % (len(body) if length is None or not head else length)
    lines = f"HTTP/1.1 {status} {reason}\r\nDate: {formatdate(usegmt=True)}\r\n".encode()
    lines += size + (b"" if keep else b"Connection: close\r\n")
    return lines + headers + b"\r\n" + (b"" if head or bodiless else body)
