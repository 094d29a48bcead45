"""One connection of a client: a request is sent, its answer read to its end. HTTP/1.1 (RFC 9112)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import httptools

CLOSED = "connection closed"
NOT_HTTP = "not HTTP"


@dataclass(slots=True, eq=False)
class Job:
    """One request on its way."""

    data: bytes
    is_head: bool
    due: float
    """Monotonic seconds."""
    done: Callable[[Job, int, str], None]
    """Called once: with its status, or with 0 and what went wrong."""
    ended: bool = False

    def end(self, status: int, wrong: str = "") -> None:
        if not self.ended:
            self.ended = True
            self.done(self, status, wrong)


class Connection(asyncio.Protocol):
    """`free` is called when it can take another job, `lost` once, when it cannot any more."""

    def __init__(self, free: Callable[[Connection], None], lost: Callable[[Connection], None]) -> None:
        self._free, self._lost = free, lost
        self._transport: asyncio.Transport | None = None
        self._job: Job | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._framed = self._headed = False
        self.since = 0.0
        """When it became free."""

    def send(self, job: Job) -> None:
        self._job, self._framed, self._headed = job, False, False
        if self._transport is None:
            self.connection_lost(None)
        else:
            self._transport.write(job.data)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        job, self._job = self._job, None
        if job is not None:
            whole = self._headed and not self._framed and exc is None  # its end is the connection's
            status = self._parser.get_status_code() if whole else 0
            job.end(status, "" if whole else CLOSED)
        self._lost(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._finish(self._parser.get_status_code(), keep=False)
        except httptools.HttpParserError:
            if self._job is not None:  # else it has been answered and is closing
                self._fail()

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() in (b"content-length", b"transfer-encoding"):
            self._framed = True

    def on_headers_complete(self) -> None:
        self._headed = True
        status = self._parser.get_status_code()
        if self._job is not None and self._job.is_head and status >= 200:
            keep = self._parser.should_keep_alive()
            self._parser = httptools.HttpResponseParser(self)  # this one waits for a body that does not come
            self._finish(status, keep)

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if status >= 200:
            self._finish(status, self._parser.should_keep_alive())
        else:  # what came before the answer, such as 100 Continue
            self._framed = self._headed = False

    def _finish(self, status: int, keep: bool) -> None:
        job, self._job = self._job, None
        if job is None:
            return
        job.end(status)
        if keep and self._transport is not None and not self._transport.is_closing():
            asyncio.get_running_loop().call_soon(self._free, self)  # not inside its own parser
        else:
            self.close()

    def _fail(self) -> None:
        job, self._job = self._job, None
        if job is not None:
            job.end(0, NOT_HTTP)
        self.close()
