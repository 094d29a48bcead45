"""HTTP/1.1 to the daemon (RFC 9112), read by httptools: to import http.client takes longer than most answers."""

from __future__ import annotations

import select
from collections.abc import Iterator
from contextlib import suppress

import httptools

from fourfold.cli.link.endpoint import CONNECT, Endpoint, connect

PIECE = 256 * 1024
BROKE_OFF = "it closed the connection in the middle of an answer"


class ConnectError(Exception):
    """Nobody answers there, for the reason that is its text."""


class BrokenError(Exception):
    """The connection ended before the answer did."""


class Connection:
    """One request at a time, to a Unix socket or over the network."""

    def __init__(self, endpoint: Endpoint) -> None:
        """Raises ConnectError."""
        self._headers = {"Host": endpoint.host, **endpoint.headers}
        try:
            self._socket = connect(endpoint, CONNECT)
        except OSError as error:
            raise ConnectError(str(error)) from error
        self.reusable = False
        """An answer is all read, and the other side keeps the connection open after it."""

    def ask(
        self, method: str, target: str, body: bytes | Iterator[bytes] | None, kind: str, timeout: float | None
    ) -> Answer:
        """Each piece of the answer may take `timeout` seconds. Raises TimeoutError, BrokenError."""
        self.reusable = False
        self._socket.settimeout(timeout)
        try:
            self._send(method, target, body, kind)
        except TimeoutError:
            raise
        except OSError as error:
            raise BrokenError(str(error)) from error
        return Answer(self)

    def _send(self, method: str, target: str, body: bytes | Iterator[bytes] | None, kind: str) -> None:
        headers = dict(self._headers)
        if body is not None:
            headers["Content-Type"] = kind
        if isinstance(body, Iterator):
            headers["Transfer-Encoding"] = "chunked"
        elif body is not None or method != "GET":
            headers["Content-Length"] = str(len(body or b""))
        lines = (f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", "")
        head = "\r\n".join(lines).encode()
        # It may have answered before it has read everything: a refusal, most likely.
        with suppress(BrokenPipeError, ConnectionResetError):
            if not isinstance(body, Iterator):
                self._socket.sendall(head + (body or b""))
                return
            self._socket.sendall(head)
            for piece in filter(None, body):
                self._socket.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
            self._socket.sendall(b"0\r\n\r\n")

    def receive(self) -> bytes:
        """The next bytes. Raises TimeoutError, BrokenError."""
        try:
            data = self._socket.recv(PIECE)
        except TimeoutError:
            raise
        except OSError as error:
            raise BrokenError(str(error)) from error
        if not data:
            raise BrokenError(BROKE_OFF)
        return data

    def is_fresh(self) -> bool:
        """Nothing came since the last answer: the other side has not closed it."""
        return self.reusable and not select.select([self._socket], [], [], 0)[0]

    def close(self) -> None:
        self._socket.close()


class Answer:
    def __init__(self, connection: Connection) -> None:
        """Waits for its head. Raises TimeoutError, BrokenError."""
        self.status = 0
        self.headers: dict[str, str] = {}
        """Names in lower case."""
        self._connection = connection
        self._parser = httptools.HttpResponseParser(self)
        self._body: list[bytes] = []
        self._whole = self._keeps = False
        while not self.status:
            self._read()

    def pieces(self) -> Iterator[bytes]:
        """The body, as it comes. Raises TimeoutError, BrokenError."""
        if not self._whole and not self.headers.keys() & {"content-length", "transfer-encoding"}:
            raise BrokenError("it did not say where its answer ends")
        while True:
            body, self._body = self._body, []
            yield from body
            if self._whole:
                break
            self._read()
        self._connection.reusable = self._keeps

    def _read(self) -> None:
        data = self._connection.receive()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            raise BrokenError(f"that is not HTTP: {error}") from error

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status >= 200:
            self.status = status
        else:  # what comes before the answer, such as 100 Continue
            self.headers = {}

    def on_body(self, data: bytes) -> None:
        self._body.append(data)

    def on_message_complete(self) -> None:
        self._whole = bool(self.status)
        self._keeps = self._parser.should_keep_alive()
