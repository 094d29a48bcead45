"""Where Prometheus scrapes without TLS and tokens (`metrics_listen`): GET /metrics, and nothing else, read-only.

A small HTTP/1.1 server of its own (RFC 9112), which answers and closes: no client of it can hold what the API needs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from http import HTTPStatus

from fourfold.api.resources.machine import METRICS_TYPE
from fourfold.errors import FourfoldError

log = logging.getLogger(__name__)

PATIENCE = 5.0
"""Seconds that a request may take to come, and its answer to be taken."""
HEAD_BYTES = 8 * 1024
AT_ONCE = 16
"""Connections; further ones are closed."""
AGAIN_SECONDS = 5.0
"""After an address could not be had: another program may go, an interface may come."""


class Scraping:
    def __init__(self, metrics: Callable[[], Awaitable[str]], address: str) -> None:
        """`address`: `127.0.0.1:9464`, `[::]:9464`."""
        self._metrics = metrics
        host, _, port = address.rpartition(":")
        self._host, self._port = host.strip("[]"), int(port)
        self._address = address
        self._open = 0

    async def run(self) -> None:
        """Until cancelled."""
        said = ""
        while True:
            try:
                server = await asyncio.start_server(self._client, self._host, self._port, limit=HEAD_BYTES)
            except OSError as error:
                if said != (said := error.strerror or str(error)):
                    log.error("cannot listen on %s for metrics: %s", self._address, said)
                await asyncio.sleep(AGAIN_SECONDS)
                continue
            log.info("metrics are at http://%s/metrics", self._address)
            async with server:
                await server.serve_forever()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            if self._open <= AT_ONCE:
                async with asyncio.timeout(PATIENCE):
                    head = await reader.readuntil(b"\r\n\r\n")
                status, body, headers = await self._answer(head)
                async with asyncio.timeout(PATIENCE):
                    writer.write(_message(status, body, headers, with_body=not head.startswith(b"HEAD ")))
                    await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # a client that is slow, gone, or sends something else
        finally:
            self._open -= 1
            writer.close()
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    await writer.wait_closed()
            writer.transport.abort()

    async def _answer(self, head: bytes) -> tuple[HTTPStatus, bytes, str]:
        method, _, rest = head.partition(b"\r\n")[0].partition(b" ")
        target, _, version = rest.partition(b" ")
        plain = "Content-Type: text/plain; charset=utf-8\r\n"
        if not version.startswith(b"HTTP/1."):
            return HTTPStatus.BAD_REQUEST, b"this is not HTTP/1.1\n", plain
        if target.partition(b"?")[0] != b"/metrics":
            return HTTPStatus.NOT_FOUND, b"there is /metrics, and nothing else\n", plain
        if method not in (b"GET", b"HEAD"):
            return HTTPStatus.METHOD_NOT_ALLOWED, b"only GET\n", f"Allow: GET, HEAD\r\n{plain}"
        try:
            return HTTPStatus.OK, (await self._metrics()).encode(), f"Content-Type: {METRICS_TYPE}\r\n"
        except FourfoldError as error:
            return HTTPStatus.SERVICE_UNAVAILABLE, f"{error}\n".encode(), plain
        except Exception:
            log.exception("a fault while metrics were asked for")
            return HTTPStatus.INTERNAL_SERVER_ERROR, b"a fault in Fourfold, see the daemon's log\n", plain


def _message(status: HTTPStatus, body: bytes, headers: str, with_body: bool) -> bytes:
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\n{headers}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + (body if with_body else b"")
