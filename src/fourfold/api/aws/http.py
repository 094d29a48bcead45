"""HTTP/1.1 at the listener: one request of a connection after the other, each answered with one write."""

from __future__ import annotations

import asyncio
import resource
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from typing import cast

import httptools

MOST_CONNECTIONS = 4_000
"""Or half of the daemon's descriptors, if that is less: the rest of it needs some too."""
MOST_HEAD = 64 * 1024
"""Bytes of a request's target and headers."""
MOST_WAITING = 16
"""Requests that a client may send before their turn; then its socket is not read."""
_REASONS = {status.value: status.phrase for status in HTTPStatus}


@dataclass(slots=True)
class Request:
    method: str
    target: str
    """As it was sent: path and query."""
    headers: list[tuple[str, str]]
    """Names in lower case."""
    body: bytes
    peer: str

    def header(self, wanted: str) -> str:
        for name, value in self.headers:
            if name == wanted:
                return value
        return ""


@dataclass(slots=True)
class Response:
    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


Handle = Callable[[Request], Awaitable[Response]]
"""Never raises."""
Limit = Callable[[str, str], int]
"""(target, value of Authorization) -> bytes that a body may have there."""


class Listener:
    """`handle` answers all requests. What was in progress when it is closed is finished, for `ending` seconds."""

    def __init__(self, handle: Handle, limit: Limit) -> None:
        self.handle = handle
        self.limit = limit
        self.connections: set[Connection] = set()
        self.most = min(MOST_CONNECTIONS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)
        self._server: asyncio.Server | None = None
        self._date = (0, "")

    async def open(self, host: str, port: int) -> int:
        """-> the port. Raises OSError."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Connection(self), host, port, backlog=1024)
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self, ending: float = 5.0) -> None:
        if self._server is None:
            return
        self._server.close()
        for connection in list(self.connections):
            connection.end()
        tasks = [task for each in self.connections if (task := each.task) is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=ending)
        for connection in list(self.connections):
            connection.abort()

    def date(self) -> str:
        now = int(time.time())  # of this very moment, whatever clock the rest goes by
        if self._date[0] != now:
            self._date = (now, formatdate(now, usegmt=True))
        return self._date[1]


class Connection(asyncio.Protocol):
    """What httptools calls while it parses, and the requests that came of it."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._peer = ""
        self._waiting: deque[tuple[Request, bool]] = deque()
        self._head = 0
        self._ends = False
        self.task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport = cast(asyncio.Transport, transport)
        self._peer = str((transport.get_extra_info("peername") or ("",))[0])
        if len(self._listener.connections) >= self._listener.most:
            transport.abort()
            return
        self._listener.connections.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        """What it had asked for goes on: an event is not taken back."""
        self._listener.connections.discard(self)
        self._transport = None
        self._waiting.clear()

    def data_received(self, data: bytes) -> None:
        if self._ends:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refuse(400, "this listener speaks HTTP/1.1 alone")
        except httptools.HttpParserCallbackError:
            if not self._ends:
                raise
        except httptools.HttpParserError as error:
            self._refuse(400, f"that is no HTTP/1.1 request: {error}")

    def eof_received(self) -> bool:
        return self.task is not None  # a client that sends no more may wait for its answer

    # -- what the parser finds ------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._url = b""
        self._headers: list[tuple[str, str]] = []
        self._pieces: list[bytes] = []
        self._size = self._head = 0
        self._most = 0

    def on_url(self, url: bytes) -> None:
        self._url += url
        self._grow(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))
        self._grow(len(name) + len(value))

    def _grow(self, size: int) -> None:
        self._head += size
        if self._head > MOST_HEAD:
            self._refuse(431, "the headers are too large")
            raise ValueError

    def on_headers_complete(self) -> None:
        self._target = self._url.decode("latin-1")
        authorization = next((value for name, value in self._headers if name == "authorization"), "")
        self._most = self._listener.limit(self._target, authorization)
        for name, value in self._headers:
            if name == "content-length" and value.isdigit() and int(value) > self._most:
                self._too_large()
            elif name == "expect" and value.lower() == "100-continue" and self._transport is not None:
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > self._most:
            self._too_large()
        self._pieces.append(piece)

    def _too_large(self) -> None:
        body = f'{{"Type":"User","message":"Request must be smaller than {self._most} bytes"}}'.encode()
        headers = (("Content-Type", "application/json"), ("x-amzn-ErrorType", "RequestTooLargeException"))
        self._finish(Response(413, body, headers))
        raise ValueError

    def on_message_complete(self) -> None:
        body = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        method = self._parser.get_method().decode()
        request = Request(method, self._target, self._headers, body, self._peer)
        keep = self._parser.should_keep_alive()
        if self.task is None:
            self.task = asyncio.get_running_loop().create_task(self._answer(request, keep))
        else:
            self._waiting.append((request, keep))
            if len(self._waiting) >= MOST_WAITING and self._transport is not None:
                self._transport.pause_reading()

    # -- answers --------------------------------------------------------------------------------------------------

    async def _answer(self, request: Request, keep: bool) -> None:
        while True:
            response = await self._listener.handle(request)
            keep = keep and not self._ends
            self._write(response, keep, request.method == "HEAD")
            if not keep:
                self.end()
                break
            if not self._waiting:
                break
            request, keep = self._waiting.popleft()
            if self._transport is not None:
                self._transport.resume_reading()
        self.task = None
        if self._ends and self._transport is not None:
            self._transport.close()

    def _write(self, response: Response, keep: bool, bodiless: bool = False) -> None:
        if self._transport is None:
            return
        status = response.status
        lines = [f"HTTP/1.1 {status} {_REASONS.get(status, '')}", f"Date: {self._listener.date()}"]
        lines += [f"{name}: {value}" for name, value in response.headers]
        if status != 204:
            lines.append(f"Content-Length: {len(response.body)}")
        if not keep:
            lines.append("Connection: close")
        head = "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n"
        self._transport.write(head if bodiless or status == 204 else head + response.body)

    def _refuse(self, status: int, what: str) -> None:
        body = f'{{"message":"cannot read the request: {what}"}}'.encode()
        self._finish(Response(status, body, (("Content-Type", "application/json"),)))

    def _finish(self, response: Response) -> None:
        """After what was asked before it, which may still be in progress: then only the connection ends."""
        if self.task is None:
            self._write(response, keep=False)
        self.end()

    def end(self) -> None:
        """After the answer in progress."""
        self._ends = True
        if self.task is None and self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()
