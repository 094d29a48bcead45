"""HTTP of a network listener: uvicorn's protocol, with bounds on how long and how large a request may be on its way.

A client that sends a byte now and then (slowloris) holds a connection for `HEAD` seconds, and no task of ours.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD = 10.0
"""Seconds until the whole head of a request has come."""
BODY = 30.0
"""Seconds between two pieces of its body, while somebody wants them."""
MOST_HEAD = 64 * 1024
"""Bytes; also of whatever comes between two pieces of a body, or after the last: sizes, extensions, trailers."""
MOST_FIELDS = 200
"""Header fields of a request: each takes some 200 bytes of memory, however short it is."""
MOST_WAITING = 8
"""Requests of a connection that wait for an answer to others. Each takes some 3 KiB, and may be sent as 20 bytes."""

Told = Callable[[str, str], None]
"""(client's address, what it did)"""


class _Refused(Exception):
    """Raised within the parser: nothing more of this connection is looked at."""


class PatientHttp(HttpToolsProtocol):
    head_seconds = HEAD
    body_seconds = BODY
    told: Told

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._timer: asyncio.TimerHandle | None = None
        self._in_head = True
        self._bytes = 0
        """Of this head, or since the last piece of the body."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._arm(self.head_seconds, self._slow_head)

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """In pieces: what is counted after each is bounded then, however much has come at once."""
        for start in range(0, len(data), MOST_HEAD):
            piece = data[start : start + MOST_HEAD]
            self._bytes += len(piece)
            super().data_received(piece)
            if self._bytes > MOST_HEAD:
                self._too_large(f"sent more than {MOST_HEAD} bytes of headers")
            if self.transport.is_closing() or self.transport.get_protocol() is not self:
                return

    def send_400_response(self, msg: str) -> None:
        if not self.transport.is_closing():  # or it has had its answer
            super().send_400_response(msg)

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= MOST_WAITING:
            self._end(429, "Too Many Requests", f"sent more than {MOST_WAITING} requests at once")
            raise _Refused
        super().on_message_begin()
        if self._timer is None:
            self._arm(self.head_seconds, self._slow_head)

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:
            return  # a trailer: nothing is done with any (RFC 9110, section 6.5.1)
        if len(self.headers) >= MOST_FIELDS:
            self._too_large(f"sent more than {MOST_FIELDS} header fields")
            raise _Refused
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._in_head, self._bytes = False, 0
        self._arm(self.body_seconds, self._slow_body)

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        self._bytes = 0
        self._arm(self.body_seconds, self._slow_body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._in_head, self._bytes = True, 0  # of the next one
        self._disarm()

    def handle_websocket_upgrade(self) -> None:
        self._disarm()
        super().handle_websocket_upgrade()

    def _slow_head(self) -> None:
        self._end(408, "Request Timeout", f"sent no whole request within {self.head_seconds:g} s")

    def _slow_body(self) -> None:
        if self.flow.read_paused:  # it is us who do not read
            self._arm(self.body_seconds, self._slow_body)
        else:
            self._end(408, "Request Timeout", f"sent nothing of a request's body for {self.body_seconds:g} s")

    def _too_large(self, what: str) -> None:
        self._end(431, "Request Header Fields Too Large", what)

    def _end(self, status: int, phrase: str, what: str) -> None:
        if self.transport.is_closing():
            return
        self.told(self.client[0] if self.client else "unknown", what)
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            self.transport.write(
                f"HTTP/1.1 {status} {phrase}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
            )
        self.transport.close()

    def _arm(self, seconds: float, do: Callable[[], None]) -> None:
        self._disarm()
        self._timer = self.loop.call_later(seconds, do)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
