"""HTTP to the daemon, by the standard library's client: to import httpx takes longer than what the daemon does."""

from __future__ import annotations

import select
from collections.abc import Iterator, Mapping
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse

from fourfold.cli.endpoint import CONNECT, Endpoint, connect

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
        self._headers = endpoint.headers
        self._http = HTTPConnection(endpoint.host)
        self._http.auto_open = 0
        try:
            self._http.sock = self._socket = connect(endpoint, CONNECT)
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
        headers = {**self._headers, **({} if body is None else {"Content-Type": kind})}
        try:
            self._send(method, target, body, headers)
            return Answer(self, self._http.getresponse())
        except TimeoutError:
            raise
        except OSError as error:
            raise BrokenError(str(error)) from error
        except HTTPException as error:
            raise BrokenError(f"that is not HTTP: {str(error)[:100]!r}") from error

    def _send(self, method: str, target: str, body: bytes | Iterator[bytes] | None, headers: Mapping[str, str]) -> None:
        chunked = isinstance(body, Iterator)
        more = {"Transfer-Encoding": "chunked"} if chunked else {}
        # It may have answered before it has read everything: a refusal, most likely.
        with suppress(BrokenPipeError, ConnectionResetError):
            self._http.request(method, target, body, {**headers, **more}, encode_chunked=chunked)

    def is_fresh(self) -> bool:
        """Nothing came since the last answer: the other side has not closed it."""
        return self.reusable and not select.select([self._socket], [], [], 0)[0]

    def close(self) -> None:
        self._http.close()
        self._socket.close()


class Answer:
    def __init__(self, connection: Connection, response: HTTPResponse) -> None:
        self._connection, self._response = connection, response
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.headers.items()}

    def pieces(self) -> Iterator[bytes]:
        """The body, as it comes. Raises TimeoutError, BrokenError."""
        if self._response.length is None and not self._response.chunked:
            raise BrokenError("it did not say where its answer ends")  # perhaps for its headers broke off
        keeps = not self._response.will_close
        try:
            while piece := self._response.read1(PIECE):
                yield piece
        except TimeoutError:
            raise
        except OSError as error:
            raise BrokenError(str(error)) from error
        except (HTTPException, ValueError) as error:
            raise BrokenError(BROKE_OFF) from error
        if self._response.length:
            raise BrokenError(BROKE_OFF)
        self._response.close()  # `read1` does not always, and the next request would be refused
        self._connection.reusable = keeps
