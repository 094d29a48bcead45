"""Answers that go on: a source (events, log lines) is pumped to the client in batches until either side ends.

An error before the first item is an ordinary error answer. Later ones are told in the stream, as its last item.
When the client goes or the daemon ends, the source is closed at once, not at its next item.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import TypeVar, cast

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

T = TypeVar("T")

AHEAD = 500
"""Items the source may be ahead of a slow client."""
FIRST_WAIT = 0.25
"""Seconds that a source which waits for news may take to refuse, before the answer begins with 200."""


class Streams:
    """All open streams, so that the daemon can end them before it ends itself."""

    def __init__(self) -> None:
        self._open: set[Stream] = set()
        self._closed = False

    @staticmethod
    def of(app: FastAPI) -> Streams:
        return cast(Streams, app.state.streams)

    def close(self) -> None:
        self._closed = True
        for stream in list(self._open):
            stream.stop()

    async def answer(
        self,
        source: AsyncIterator[T],
        encode: Callable[[T], str],
        fail: Callable[[BaseException], str],
        media_type: str,
        follow: bool,
    ) -> StreamingResponse:
        """Begin to answer with `source`; raises what the source raises before its first item."""
        stream = Stream(self._pieces(source, encode), fail)
        self._open.add(stream)
        stream.task.add_done_callback(lambda _: self._open.discard(stream))
        if self._closed:
            stream.stop()
        try:
            await stream.begun(FIRST_WAIT if follow else None)
        except BaseException:
            stream.stop()
            raise
        return StreamingResponse(stream.batches(), media_type=media_type)

    @staticmethod
    async def _pieces(source: AsyncIterator[T], encode: Callable[[T], str]) -> AsyncIterator[str]:
        # A facade gives async generators, which must be closed by whoever stops reading them early.
        async with aclosing(source) as items:  # type: ignore[type-var]
            async for item in items:
                yield encode(item)


class Stream:
    """One source on its way to one client."""

    def __init__(self, pieces: AsyncIterator[str], fail: Callable[[BaseException], str]) -> None:
        self._pieces = pieces
        self._fail = fail
        self._waiting: list[str] = []
        self._started = False
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self.task = asyncio.create_task(self._pump())
        # Called when the task is done, not when it is about to be: whoever wakes sees that it is.
        self.task.add_done_callback(lambda _: self._news.set())

    def stop(self) -> None:
        self.task.cancel()

    async def begun(self, timeout: float | None) -> None:
        """Wait for the first piece, the end, or the timeout; raises the source's error if it began with one."""
        try:
            await asyncio.wait_for(self._news.wait(), timeout)
        except TimeoutError:
            return
        if self.task.done() and not self._started and not self.task.cancelled() and (error := self.task.exception()):
            raise error

    async def batches(self) -> AsyncIterator[bytes]:
        """What has come since the last batch, joined; ends with the error's line if there was one."""
        try:
            while True:
                await self._news.wait()
                self._news.clear()
                batch, self._waiting = "".join(self._waiting), []
                self._room.set()
                if batch:
                    yield batch.encode()
                if self.task.done() and not self._waiting:
                    break
            if not self.task.cancelled() and (error := self.task.exception()):
                yield self._fail(error).encode()
        finally:
            self.stop()

    async def _pump(self) -> None:
        async with aclosing(self._pieces) as pieces:  # type: ignore[type-var]
            async for piece in pieces:
                self._waiting.append(piece)
                self._started = True
                self._news.set()
                if len(self._waiting) >= AHEAD:
                    self._room.clear()
                    await self._room.wait()
