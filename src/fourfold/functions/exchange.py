"""One request of HTTP/1.1 and its answer (RFC 9112), for `functions.http`: whole, or piece by piece."""

from __future__ import annotations

import http
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fourfold.functions.http import Connection

NO_BODY = frozenset((204, 304))
REASONS = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in http.HTTPStatus}
JSON = b"Content-Type: application/json\r\n"


class Exchange:
    """One request, and how to answer it. Whoever answers twice, or one who has gone, does no harm."""

    __slots__ = (
        "_answered", "_connection", "_streaming", "body", "common", "headers", "keep", "max_body", "method", "on_gone",
        "parts", "sink", "size", "target", "too_large", "trailers", "version",
    )  # fmt: skip

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._answered = False
        self._streaming = False
        self.method = ""
        self.target = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.trailers: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.parts: list[bytes] = []
        self.common = b""
        """Header lines of its answer, whatever that is."""
        self.size = 0
        self.too_large = False
        self.max_body = connection.site.max_body
        self.keep = True
        self.version = "1.1"
        self.sink: Callable[[bytes], None] | None = None
        """Takes the body piece by piece instead of `body`."""
        self.on_gone: Callable[[], None] | None = None
        """Called when the client leaves before it was answered, and once only."""

    @property
    def connection(self) -> Connection:
        return self._connection

    @property
    def gone(self) -> bool:
        return self._connection.transport is None

    @property
    def answered(self) -> bool:
        return self._answered

    def header(self, name: bytes) -> bytes:
        """The first of that name (lower case); empty: there is none."""
        for key, value in self.headers:
            if key.lower() == name:
                return value
        return b""

    def head_size(self) -> int:
        return len(self.target) + sum(len(name) + len(value) for name, value in self.headers)

    def respond(self, status: int, headers: bytes = b"", body: bytes = b"", length: int | None = None) -> None:
        """`headers`: lines that end in CRLF. `length`: of a body that HEAD leaves out, if it is not `body`'s."""
        if self._answered:
            return
        self._answered = True
        keep = self.keep and not self._connection.site.closing.is_set()
        parts = [REASONS.get(status) or b"HTTP/1.1 %d \r\n" % status, self.common, headers]
        if status not in NO_BODY:
            parts.append(b"Content-Length: %d\r\n" % (len(body) if length is None else length))
        parts.append(b"\r\n" if keep else b"Connection: close\r\n\r\n")
        if self.method != "HEAD" and status not in NO_BODY:
            parts.append(body)
        self._connection.write(b"".join(parts))
        self._connection.answered(self, keep)

    def json(self, status: int, body: bytes) -> None:
        self.respond(status, JSON, body)

    def start(self, status: int, headers: bytes = b"") -> None:
        """The head of an answer of unknown length; `send` and `finish` follow."""
        if self._answered:
            return
        self._answered = self._streaming = True
        framing = b"Transfer-Encoding: chunked\r\n" if self.version == "1.1" else b""
        self.keep = self.keep and bool(framing) and not self._connection.site.closing.is_set()
        if status in NO_BODY or self.method == "HEAD":
            framing = b""
        parts = (REASONS.get(status) or b"HTTP/1.1 %d \r\n" % status, self.common, headers, framing)
        self._connection.write(b"".join((*parts, b"\r\n" if self.keep else b"Connection: close\r\n\r\n")))
        if not framing and self.version == "1.1":
            self.method = "HEAD"  # nothing may follow

    def send(self, data: bytes) -> None:
        if self._streaming and data and self.method != "HEAD":
            self._connection.write(b"%x\r\n%b\r\n" % (len(data), data) if self.version == "1.1" else data)

    def finish(self, whole: bool = True) -> None:
        """`whole` False: the client sees that the end is missing."""
        if not self._streaming:
            return
        self._streaming = False
        if whole and self.version == "1.1" and self.method != "HEAD":
            self._connection.write(b"0\r\n\r\n")
        self._connection.answered(self, self.keep and whole)
