"""HTTP/1.1 (RFC 9112) as one command needs it, to a Unix socket or over the network.

httpx would be most of what a command costs: importing it takes longer than what the daemon does for `deploy`.
"""

from __future__ import annotations

import select
from collections.abc import Iterator, Mapping

from fourfold.cli.endpoint import CONNECT, Endpoint, connect

PIECE = 256 * 1024
LONGEST_LINE = 64 * 1024


class ConnectError(Exception):
    """Nobody answers there, for the reason that is its text."""


class BrokenError(Exception):
    """The connection ended before the answer did."""


class Connection:
    """One request at a time."""

    def __init__(self, endpoint: Endpoint) -> None:
        """Raises ConnectError."""
        self._host = endpoint.host
        self._headers = endpoint.headers
        try:
            self._socket = connect(endpoint, CONNECT)
        except OSError as error:
            raise ConnectError(str(error)) from error
        self._file = self._socket.makefile("rb")
        self.keeps = False
        """The other side does not close it after its answer."""
        self.reusable = False
        """That answer is all read: another request may follow."""

    def ask(
        self, method: str, target: str, body: bytes | Iterator[bytes] | None, kind: str, timeout: float | None
    ) -> Answer:
        """Each piece of the answer may take `timeout` seconds. Raises TimeoutError, BrokenError."""
        self.reusable = False
        self._socket.settimeout(timeout)
        head = [f"{method} {target} HTTP/1.1", f"Host: {self._host}", "Accept: */*"]
        head += [f"{name}: {value}" for name, value in self._headers.items()]
        if isinstance(body, bytes):
            head += [f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
        elif body is not None:
            head += [f"Content-Type: {kind}", "Transfer-Encoding: chunked"]
        elif method != "GET":
            head += ["Content-Length: 0"]
        text = "\r\n".join([*head, "", ""]).encode("latin-1")
        try:
            self._send(text + body if isinstance(body, bytes) else text, body if isinstance(body, Iterator) else ())
            return Answer(self, *self._head())
        except TimeoutError:
            raise
        except OSError as error:
            raise BrokenError(str(error)) from error

    def _send(self, begin: bytes, pieces: Iterator[bytes] | tuple[()]) -> None:
        try:
            self._socket.sendall(begin)
            for piece in pieces:
                if piece:
                    self._socket.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
            if pieces != ():
                self._socket.sendall(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has answered before it has read everything: a refusal, most likely

    def _head(self) -> tuple[int, dict[str, str]]:
        while True:
            words = self.line().split(None, 2)
            if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():
                raise BrokenError("what answers is no HTTP server")
            headers = {}
            while line := self.line():
                name, _, value = line.decode("latin-1").partition(":")
                headers[name.strip().lower()] = value.strip()
            if int(words[1]) >= 200:
                self.keeps = words[0] == b"HTTP/1.1" and headers.get("connection", "").lower() != "close"
                return int(words[1]), headers

    def line(self) -> bytes:
        line = self._file.readline(LONGEST_LINE)
        if not line.endswith(b"\n"):
            raise BrokenError("it closed the connection")
        return line.rstrip(b"\r\n")

    def some(self, most: int) -> bytes:
        """As much as there is. Raises BrokenError where there will be no more."""
        if not (found := self._file.read1(min(most, PIECE))):
            raise BrokenError("it closed the connection in the middle of an answer")
        return found

    def rest(self) -> Iterator[bytes]:
        """Up to the connection's end."""
        while found := self._file.read1(PIECE):
            yield found

    def is_fresh(self) -> bool:
        """Nothing came since the last answer: the other side has not closed it."""
        return self.reusable and not select.select([self._socket], [], [], 0)[0]

    def close(self) -> None:
        self._file.close()
        self._socket.close()


class Answer:
    def __init__(self, connection: Connection, status: int, headers: Mapping[str, str]) -> None:
        """`headers`: by their names in lower case."""
        self._connection, self.status, self.headers = connection, status, headers

    def pieces(self) -> Iterator[bytes]:
        """The body, as it comes. Raises TimeoutError, BrokenError."""
        try:
            yield from self._pieces()
        except TimeoutError:
            raise
        except (OSError, ValueError) as error:
            raise BrokenError(str(error)) from error

    def _pieces(self) -> Iterator[bytes]:
        connection, length = self._connection, self.headers.get("content-length")
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            while size := int(connection.line().partition(b";")[0], 16):
                yield from _exactly(connection, size)
                connection.line()
            while connection.line():  # trailers
                pass
        elif length is not None:
            yield from _exactly(connection, int(length))
        elif self.status not in (204, 304):
            yield from connection.rest()
            return
        connection.reusable = connection.keeps


def _exactly(connection: Connection, size: int) -> Iterator[bytes]:
    while size:
        piece = connection.some(size)
        size -= len(piece)
        yield piece
