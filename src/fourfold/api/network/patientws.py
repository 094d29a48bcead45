"""WebSockets of a network listener: uvicorn's protocol, with bounds on what a client can have it keep.

It bounds a message by its bytes only: in how many frames those come (RFC 6455, section 5.4), and how many pings are
answered to somebody who reads none of the answers (section 5.5.2), it leaves to its clients.
"""

from __future__ import annotations

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

MESSAGE = 1024 * 1024
"""Bytes of a message; programs' input comes in smaller ones."""
MOST_FRAMES = 64
"""Of a message."""


class PatientWebSocket(WebSocketsSansIOProtocol):
    _frames = 0
    """Of the message that is coming, beside its first."""

    def handle_cont(self, event: Frame) -> None:
        self._frames = 0 if event.fin else self._frames + 1
        if self._frames < MOST_FRAMES:
            super().handle_cont(event)
        else:
            self.transport.abort()

    def handle_ping(self) -> None:
        if self.transport.is_closing():
            return  # others of the same piece
        if self.transport.get_write_buffer_size() > MESSAGE:
            self.transport.abort()
        else:
            super().handle_ping()
