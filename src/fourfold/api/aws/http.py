"""Requests and answers at the listener, as what serves them sees them; HTTP itself: `functions/http.py`."""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from email.utils import formatdate

from fourfold.functions.exchange import JSON, Exchange
from fourfold.functions.http import Site

MOST_CONNECTIONS = 4_000
"""Or half of the daemon's descriptors, if that is less: the rest of it needs some too."""
MOST_HEAD = 64 * 1024
"""Bytes of a request's target and headers."""


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
    """`handle` answers all requests. What was in progress when it is closed is finished, for `ending` seconds; what a
    client who has gone had asked for is finished too: an event is not taken back."""

    def __init__(self, handle: Handle, limit: Limit) -> None:
        self._handle = handle
        self._limit = limit
        most = min(MOST_CONNECTIONS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)
        self._site = Site(self._whole, MOST_HEAD, head=self._head, most=most, half_open=True)
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._date = (0, "")

    async def open(self, host: str, port: int) -> int:
        """-> the port. Raises OSError."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._site.protocol, host, port, backlog=1024)
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self, ending: float = 5.0) -> None:
        if self._server is None:
            return
        self._server.close()
        self._site.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(ending):
                await self._site.wait_closed()
        for connection in tuple(self._site.open):
            if connection.transport is not None:
                connection.transport.abort()

    def _head(self, exchange: Exchange) -> None:
        authorization = exchange.header(b"authorization").decode("latin-1")
        exchange.max_body = self._limit(exchange.target.decode("latin-1"), authorization)

    def _whole(self, exchange: Exchange) -> None:
        if exchange.too_large:
            body = b'{"Type":"User","message":"Request must be smaller than %d bytes"}' % exchange.max_body
            exchange.respond(413, JSON + b"x-amzn-ErrorType: RequestTooLargeException\r\n", body)
            return
        task = asyncio.get_running_loop().create_task(self._answer(exchange))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, exchange: Exchange) -> None:
        transport = exchange.connection.transport
        peer = transport.get_extra_info("peername") if transport is not None else None
        headers = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in exchange.headers]
        target = exchange.target.decode("latin-1")
        response = await self._handle(
            Request(exchange.method, target, headers, exchange.body, str(peer[0]) if peer else "")
        )
        lines = [f"Date: {self._now()}\r\n", *(f"{name}: {value}\r\n" for name, value in response.headers)]
        exchange.respond(response.status, "".join(lines).encode("latin-1", "replace"), response.body)

    def _now(self) -> str:
        now = int(time.time())  # of this very moment, whatever clock the rest goes by
        if self._date[0] != now:
            self._date = (now, formatdate(now, usegmt=True))
        return self._date[1]
