"""Events: stored, and told to whoever listens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

from fourfold.store.events import Events
from fourfold.store.model import Event


class Bus:
    def __init__(self, events: Events) -> None:
        self._events = events
        self._listeners: set[asyncio.Event] = set()
        self._closed = False

    def emit(
        self,
        kind: str,
        message: str,
        *,
        app: str | None = None,
        service: str | None = None,
        instance: str | None = None,
        actor: str | None = None,
        **data: Any,
    ) -> Event:
        event = self._events.add(kind, message, app=app, service=service, instance=instance, actor=actor, data=data)
        for listener in self._listeners:
            listener.set()
        return event

    @property
    def last(self) -> int:
        """Number of the newest event."""
        return self._events.last()

    def since(self, after: int, app: str | None = None, operation: str | None = None) -> Iterator[Event]:
        """All past events with seq > `after`."""
        while page := self._events.after(after, app, operation=operation):
            yield from page
            after = page[-1].seq

    async def follow(self, after: int, app: str | None = None, operation: str | None = None) -> AsyncIterator[Event]:
        """Events with seq > `after`, past and to come, until the daemon ends."""
        news = asyncio.Event()
        self._listeners.add(news)
        try:
            while not self._closed:
                news.clear()
                for event in self.since(after, app, operation):
                    after = event.seq
                    yield event
                await news.wait()
        finally:
            self._listeners.discard(news)

    def close(self) -> None:
        """End all that follow."""
        self._closed = True
        for listener in self._listeners:
            listener.set()
