"""Events: stored, and told to whoever listens."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from fourfold.control import logformat
from fourfold.control.faults import Faults
from fourfold.control.loops import Soon
from fourfold.errors import WorldError
from fourfold.store.garbage import gc
from fourfold.store.model import Event
from fourfold.store.tables.events import ALL, Events, Which

log = logging.getLogger(__name__)


TRIM_AFTER = 20_000
"""Events: the sweeper, which comes once a day, forgets old ones too."""
MOST_PENDING = 10_000
"""While the store refuses them; older ones are dropped then."""


class _Listener(asyncio.Event):
    """Of somebody who waits for news."""

    refused: WorldError | None = None
    """Why what was to be told has not happened."""


class Bus:
    """Events are stored a moment after `emit`, those of that moment together: a commit costs a sync."""

    def __init__(self, events: Events, faults: Faults) -> None:
        self._events = events
        self._faults = faults
        self._pending: list[Event] = []
        self._listeners: set[_Listener] = set()
        self._flushing = Soon(self.flush)
        self._closed = False
        self._stored = 0
        """Since old ones were forgotten."""

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
    ) -> None:
        self._flushing.ask()
        self._pending.append(self._events.make(kind, message, app, service, instance, actor, data))

    @contextmanager
    def whole(self) -> Iterator[None]:
        """What is emitted inside is told only if all of it succeeds: around a transaction, which may be tried again."""
        before = len(self._pending)
        try:
            yield
        except BaseException:
            del self._pending[before:]
            raise

    def flush(self) -> None:
        """Store what is pending now. Raises WorldError when the store refuses; it is tried again then."""
        pending, self._pending = self._pending, []
        if not pending:
            return
        try:
            self._faults.committing()
            self._events.add_all(pending)
            self._faults.committed()
            self._stored += len(pending)
        except BaseException:
            self._pending = [*pending, *self._pending][-MOST_PENDING:]
            self._wake()  # those that follow ask for it too, and are told why it cannot be had
            raise
        for event in pending:
            logformat.tell(event)
        self._wake()
        if self._stored >= TRIM_AFTER:
            self._stored = 0
            self._events.trim(gc.KEEP_EVENTS, gc.KEEP_LINES, gc.KEEP_ROUTINE)

    @property
    def last(self) -> int:
        """Number of the newest event."""
        self.flush()
        return self._events.last()

    def before(self, newest: int, app: str | None = None, operation: str | None = None, which: Which = ALL) -> int:
        """The number after which there are only the `newest` past events."""
        self.flush()
        return self._events.before(newest, app, operation, which)

    def since(
        self, after: int, app: str | None = None, operation: str | None = None, which: Which = ALL
    ) -> Iterator[Event]:
        """All past events with seq > `after`."""
        self.flush()
        while page := self._events.after(after, app, operation=operation, which=which):
            yield from page
            after = page[-1].seq

    async def follow(
        self, after: int, app: str | None = None, operation: str | None = None, which: Which = ALL
    ) -> AsyncIterator[Event]:
        """Events with seq > `after`, past and to come, until the daemon ends. Raises WorldError when the store refuses
        those that have come, or what they would tell of."""
        news = _Listener()
        self._listeners.add(news)
        try:
            while not self._closed:
                news.clear()
                newest = self.last
                for event in self.since(after, app, operation, which):
                    after = event.seq
                    yield event
                after = max(after, newest)  # the others need not be looked at again
                await news.wait()
                if news.refused is not None:
                    raise news.refused
        finally:
            self._listeners.discard(news)

    def refuse(self, error: WorldError) -> None:
        """The store did not take a change, of which there is no event then: those that follow are told why."""
        for listener in self._listeners:
            listener.refused = error
            listener.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds that is told by events; a daemon that ends leaves it to the next one."""
        news = _Listener()
        self._listeners.add(news)
        try:
            while not holds():
                news.clear()
                await news.wait()
        finally:
            self._listeners.discard(news)

    def close(self) -> None:
        """End all that follow."""
        try:
            self.flush()
        except WorldError as error:
            log.error("%s", error)
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        for listener in self._listeners:
            listener.set()
