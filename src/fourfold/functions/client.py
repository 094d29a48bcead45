"""The daemon's side of invokers: events for them, over connections that are kept, with one write per request."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any, cast

import httptools

from fourfold.functions.model import Answer, Invocation

KEPT = 64
"""Connections to one invoker that are kept while nobody uses them."""
OURS = frozenset((
    "x-amz-function-error", "x-amz-log-result", "x-amz-executed-version", "content-length", "connection",
))  # fmt: skip


class FunctionGone(Exception):
    """An invoker is not there, or ended before it answered."""

    def __init__(self, socket: str, why: str, sent: bool) -> None:
        super().__init__(f"the function's invoker at {socket} is gone: {why}")
        self.sent = sent
        """The event may have begun. If not, another instance may be given it."""


class Invokers:
    """Any number of events at once, for any number of invokers."""

    def __init__(self) -> None:
        self._kept: dict[str, list[_Connection]] = {}
        self._open: set[_Connection] = set()

    async def invoke(self, socket: str, invocation: Invocation) -> Answer:
        """Returns when the function has answered, or was refused. Raises FunctionGone. Who cancels it hangs up."""
        status, headers, body = await self._ask(socket, to_request(invocation))
        return Answer(
            status,
            body,
            headers.get("x-amz-function-error", ""),
            headers.get("x-amz-log-result", ""),
            headers.get("x-amz-executed-version", "$LATEST"),
            {name: value for name, value in headers.items() if name not in OURS},
        )

    async def state(self, socket: str) -> dict[str, Any]:
        """Sandboxes by state, waiting events, totals: `Invoker.state`. Raises FunctionGone."""
        _, _, body = await self._ask(socket, b"GET /state HTTP/1.1\r\n\r\n")
        found: dict[str, Any] = json.loads(body)
        return found

    def forget(self, socket: str) -> None:
        """Of an invoker that has gone."""
        for connection in self._kept.pop(socket, ()):
            connection.close()

    def close(self) -> None:
        self._kept.clear()
        for connection in tuple(self._open):
            connection.close()

    async def _ask(self, socket: str, request: bytes) -> tuple[int, dict[str, str], bytes]:
        kept = self._kept.setdefault(socket, [])
        connection = None
        while kept and (connection is None or connection.closed):
            connection = kept.pop()
        if connection is None or connection.closed:
            connection = await self._connect(socket)
        if connection.closed:
            raise FunctionGone(socket, "it closed the connection at once", sent=False)
        try:
            answer = await connection.ask(request)
        except ConnectionError as error:
            raise FunctionGone(socket, str(error), sent=True) from None
        except BaseException:
            connection.close()  # its answer would be taken for another's
            raise
        if not connection.closed and len(kept) < KEPT and self._kept.get(socket) is kept:
            kept.append(connection)
        else:
            connection.close()
        return answer

    async def _connect(self, socket: str) -> _Connection:
        try:
            _, connection = await asyncio.get_running_loop().create_unix_connection(
                lambda: _Connection(self._open), socket
            )
        except OSError as error:
            self.forget(socket)
            raise FunctionGone(socket, error.strerror or str(error), sent=False) from None
        return connection


def to_request(invocation: Invocation) -> bytes:
    head = [f"POST /invoke HTTP/1.1\r\nContent-Length: {len(invocation.payload)}\r\n"]
    head.append(f"X-Request-Id: {invocation.request_id}\r\n")
    if invocation.client_context:
        head.append(f"X-Client-Context: {base64.b64encode(invocation.client_context.encode()).decode()}\r\n")
    for name, value in (("X-Trace", invocation.trace), ("X-Arn", invocation.arn)):
        if value:
            head.append(f"{name}: {_one_line(value)}\r\n")
    if invocation.tail:
        head.append("X-Tail: 1\r\n")
    return b"".join(("".join(head).encode("latin-1", "replace"), b"\r\n", invocation.payload))


def _one_line(text: str) -> str:
    return text if text.isprintable() else "".join(each for each in text if each.isprintable())


class _Connection(asyncio.Protocol):
    """One request after the other."""

    def __init__(self, open_: set[_Connection]) -> None:
        self._open = open_
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[tuple[int, dict[str, str], bytes]] | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self.closed = False

    async def ask(self, request: bytes) -> tuple[int, dict[str, str], bytes]:
        """-> status, headers (lower case), body. Raises ConnectionError."""
        assert self._transport is not None
        self._waiter = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._waiter

    def close(self) -> None:
        self.closed = True
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._open.discard(self)
        self._fail(str(exc) if exc else "it closed the connection before it answered")

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(f"what it answers is not HTTP: {error}")
            self.close()

    def on_message_begin(self) -> None:
        self._headers = {}
        self._body = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, data: bytes) -> None:
        self._body.append(data)

    def on_message_complete(self) -> None:
        if not self._parser.should_keep_alive():
            self.closed = True
        if self._waiter is not None and not self._waiter.done():
            body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
            self._waiter.set_result((self._parser.get_status_code(), self._headers, body))
        self._waiter = None

    def _fail(self, why: str) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(ConnectionResetError(why))
        self._waiter = None
