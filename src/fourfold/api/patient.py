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

Told = Callable[[str, str], None]
"""(client's address, what it did)"""


class PatientHttp(HttpToolsProtocol):
    head_seconds = HEAD
    body_seconds = BODY
    told: Told

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._timer: asyncio.TimerHandle | None = None
        self._in_head = True
        self._head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._arm(self.head_seconds, self._slow_head)

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > MOST_HEAD:
            self._end(431, "Request Header Fields Too Large", f"sent more than {MOST_HEAD} bytes of headers")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._timer is None:
            self._arm(self.head_seconds, self._slow_head)

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._in_head = False
        self._arm(self.body_seconds, self._slow_body)

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        self._arm(self.body_seconds, self._slow_body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._in_head, self._head_bytes = True, 0  # of the next one
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
