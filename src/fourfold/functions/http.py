"""HTTP/1.1 as a server (RFC 9112): the Runtime API of sandboxes, the invoker's socket and port, Lambda's API.

A raw protocol over httptools, with one write per answer: head and body in two cost 40 ms and more each time (Nagle's
algorithm meets a delayed acknowledgement). Requests that a client sends ahead are answered one after the other.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import httptools

from fourfold.functions.exchange import Exchange

MAX_AHEAD = 16
"""Requests that one connection may send before it reads the first answer; then it is not read from."""
MAX_THROWN_AWAY = 64 * 1024 * 1024
"""Bytes of a body past its limit that are read and forgotten, so that the client comes to read the refusal; and of what
is not body among its chunks, such as trailers."""
MAX_HEADERS, MAX_PARTS = 1000, 10_000
"""Of a request, and of its body, until they are put together: each costs much more than its bytes."""


@dataclass(frozen=True)
class Site:
    """What is served, and its bounds in bytes."""

    whole: Callable[[Exchange], None]
    """Called with each request once its body is there; answers now or later."""
    max_head: int = 64 * 1024
    max_body: int = 6 * 1024 * 1024
    head: Callable[[Exchange], None] | None = None
    """Called before, when only the headers are there; may give the exchange a `sink` or another `max_body`."""
    most: int | None = None
    """Connections at once; further ones are ended."""
    half_open: bool = False
    """Who sends no more may still wait for its answers; it has not left."""
    max_ahead: int = MAX_AHEAD
    open: set[Connection] = field(default_factory=set)
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    """Set: no connection is kept any more."""
    empty: asyncio.Event = field(default_factory=asyncio.Event)

    def protocol(self) -> Connection:
        return Connection(self)

    def close(self) -> None:
        """Every connection ends once it has nothing left to answer."""
        self.closing.set()
        for connection in tuple(self.open):
            connection.end_when_idle()

    async def wait_closed(self) -> None:
        """After `close`: until all have read their last answers."""
        while self.open:
            self.empty.clear()
            await self.empty.wait()


class Connection(asyncio.Protocol):
    __slots__ = (
        "_ahead", "_current", "_ends", "_eof", "_framing", "_head_bytes", "_in_head", "_parser", "_paused", "_reading",
        "_slow", "site", "transport",
    )  # fmt: skip

    def __init__(self, site: Site) -> None:
        self.site = site
        self.transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._reading: Exchange | None = None  # whose bytes are coming in
        self._current: Exchange | None = None  # whose answer is being waited for
        self._ahead: deque[Exchange] = deque()
        self._in_head = True
        self._head_bytes = 0
        self._framing = 0  # what came with a body and is none of it
        self._eof = False
        self._paused = False  # not read from, as too much has been sent ahead
        self._slow = False  # it does not read what it was answered
        self._ends = False

    # asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        if self.site.most is not None and len(self.site.open) >= self.site.most:
            self.transport.abort()
            return
        connected = transport.get_extra_info("socket")
        if connected is not None and connected.family in (socket.AF_INET, socket.AF_INET6):
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.site.open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self.site.open.discard(self)
        if not self.site.open:
            self.site.empty.set()
        waiting = [each for each in (self._current, *self._ahead) if each is not None]
        self._ahead.clear()
        if self._reading is not None and self._reading.sink is not None:
            waiting.append(self._reading)
        for exchange in waiting:
            if exchange.on_gone is not None:
                exchange.on_gone()
                exchange.on_gone = None

    def data_received(self, data: bytes) -> None:
        if self._ends:
            return
        if self._in_head:
            self._head_bytes += len(data)
        else:
            self._framing += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._ends = True  # whatever it wants to speak, it gets an answer in HTTP, and no other
        except httptools.HttpParserCallbackError:
            raise  # a fault of ours
        except httptools.HttpParserError as error:
            self._refuse(400, f"not HTTP: {error}")
            return
        if self._in_head and self._head_bytes > self.site.max_head:
            self._refuse(431, f"headers of more than {self.site.max_head} bytes")
        elif self._framing > MAX_THROWN_AWAY:
            self._refuse(431, f"trailers of more than {MAX_THROWN_AWAY} bytes")

    def eof_received(self) -> bool:
        self._eof = self.site.half_open and (self._current is not None or bool(self._ahead))
        return self._eof

    def pause_writing(self) -> None:
        self._slow = True

    def resume_writing(self) -> None:
        self._slow = False
        self._next()

    def on_message_begin(self) -> None:
        self._reading = Exchange(self)

    def on_url(self, url: bytes) -> None:
        if self._reading is not None:
            self._reading.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        exchange = self._reading
        if exchange is None or self._ends:
            return
        if len(exchange.headers) + len(exchange.trailers) >= MAX_HEADERS:
            return self._refuse(431, f"more than {MAX_HEADERS} headers")
        (exchange.headers if self._in_head else exchange.trailers).append((name, value))

    def on_headers_complete(self) -> None:
        if (exchange := self._reading) is None or self._ends:
            return
        self._in_head = False
        received, self._head_bytes = self._head_bytes, 0  # of this head, and perhaps of what follows it
        exchange.method = self._parser.get_method().decode("latin-1")
        exchange.version = self._parser.get_http_version()
        exchange.keep = self._parser.should_keep_alive() and not self._parser.should_upgrade()
        if received > self.site.max_head and exchange.head_size() > self.site.max_head:
            self._refuse(431, f"headers of more than {self.site.max_head} bytes")
            return
        if self.site.head is not None:
            self.site.head(exchange)
        length = exchange.header(b"content-length")
        too_much = int(length) - exchange.max_body if length.isdigit() and exchange.sink is None else 0
        expects = exchange.header(b"expect").lower() == b"100-continue"
        if too_much > (0 if expects else MAX_THROWN_AWAY):
            exchange.too_large, exchange.keep = True, False
            self._ends = True  # its body does not come once it has read the refusal, or is of no use
            self._dispatch(exchange)
        elif expects:
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, data: bytes) -> None:
        if (exchange := self._reading) is None or self._ends:
            return
        self._framing -= len(data)
        if exchange.sink is not None:
            exchange.sink(data)
            return
        exchange.size += len(data)
        if exchange.size <= exchange.max_body:
            exchange.parts.append(data)
            if len(exchange.parts) > MAX_PARTS:
                exchange.parts = [b"".join(exchange.parts)]
            return
        exchange.too_large = True
        exchange.parts.clear()
        if exchange.size > exchange.max_body + MAX_THROWN_AWAY:
            self._refuse(413, "too large")

    def on_message_complete(self) -> None:
        exchange, self._reading = self._reading, None
        self._in_head, self._framing = True, 0
        if exchange is None or self._ends:
            return
        exchange.body = exchange.parts[0] if len(exchange.parts) == 1 else b"".join(exchange.parts)
        exchange.parts.clear()
        self._dispatch(exchange)

    # answers

    def _dispatch(self, exchange: Exchange) -> None:
        if self._current is None and not self._ahead and not self._slow:
            self._current = exchange
            self.site.whole(exchange)
            return
        self._ahead.append(exchange)
        if len(self._ahead) >= self.site.max_ahead and not self._paused and self.transport is not None:
            self._paused = True
            self.transport.pause_reading()

    def write(self, data: bytes) -> None:
        if self.transport is not None:
            self.transport.write(data)

    def answered(self, exchange: Exchange, keep: bool) -> None:
        exchange.on_gone = None
        if exchange is self._current:
            self._current = None
        if not keep or (self._eof and not self._ahead):
            self._end()
        elif self._ahead:
            asyncio.get_running_loop().call_soon(self._next)  # not deeper and deeper

    def end_when_idle(self) -> None:
        if self._current is None and not self._ahead and self._reading is None:
            self._end()

    def _next(self) -> None:
        if self._current is not None or self._slow or not self._ahead or self.transport is None:
            return
        exchange = self._current = self._ahead.popleft()
        if self._paused and len(self._ahead) < self.site.max_ahead:
            self._paused = False
            self.transport.resume_reading()
        self.site.whole(exchange)

    def _refuse(self, status: int, why: str) -> None:
        """What follows on this connection cannot be told from what came."""
        if self._current is None and not self._ends:
            exchange = self._reading or Exchange(self)
            exchange.keep = False
            exchange.respond(status, b"Content-Type: text/plain\r\n", why.encode() + b"\n")
        self._end()

    def _end(self) -> None:
        self._ends = True
        if self.transport is not None:
            self.transport.close()
