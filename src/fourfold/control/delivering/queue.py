"""Events that are delivered later: on disk before they are accepted, and in memory, without payloads, in lines."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from fourfold.clock import Clock
from fourfold.control.delivering.destinations import SOURCE
from fourfold.control.delivering.line import RETRY_SECONDS, Lines
from fourfold.control.delivering.writes import Write, Writes
from fourfold.control.registry import Registry
from fourfold.errors import WorldError
from fourfold.store.tables.queue import EventRow, Waiting

MOST_EVENTS = 100_000
MOST_BYTES = 1024**3
"""Of one service, waiting."""

States = Mapping[str, str]


class Queue:
    """`changed()`: there is something to deliver; `dropped(seq)`: not to be delivered any more."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._registry = registry
        self._store = registry.store.queue
        self._clock = clock
        self._writes = Writes(registry.store.database)
        self.lines = Lines(_by(clock.now(), each) for each in self._store.waiting())
        self.changed: Callable[[], None] = lambda: None
        self.dropped: Callable[[int], None] = lambda seq: None
        self._ahead: Counter[str] = Counter()
        self._ahead_bytes: Counter[str] = Counter()
        """Of events that are being stored, by service."""

    async def enqueue(
        self,
        app: str,
        service: str,
        payload: bytes,
        *,
        source: str,
        client_context: str = "",
        request_id: str | None = None,
        trigger: str = "",
        state: States | None = None,
    ) -> str:
        """Store an event; its request id. Those of one turn of the event loop are stored together, by one sync.

        `state` is what `trigger` remembers from then on. Raises WorldError when the store, or the service's queue,
        takes no more.
        """
        row = self.new(app, service, payload, source=source, trigger=trigger)
        row = replace(row, id=request_id or row.id, client_context=client_context)
        self._check_room(row)
        added: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        rows: list[EventRow] = []

        def store() -> None:
            rows[:] = [self._store.add(row)]
            for key, value in (state or {}).items():
                self._registry.store.trigger_states.put(app, service, trigger, key, value)

        def stored() -> None:
            self._make_room(row)
            self.put_in(rows)
            if not added.done():
                added.set_result(row.id)

        def refused(error: Exception) -> None:
            self._make_room(row)
            if not added.done():
                added.set_exception(error)

        self._writes.add(Write(store, stored, refused))
        return await added

    def new(
        self, app: str, service: str, payload: bytes, *, source: str, trigger: str = "", lane: str = ""
    ) -> EventRow:
        """An event as of now, not stored yet."""
        now = self._clock.now()
        return EventRow(
            0, str(uuid.uuid4()), app, service, payload, source, now, now, trigger=trigger, lane=lane
        )  # fmt: skip

    def add(self, rows: Iterable[EventRow], also: Callable[[], None], withdrawn: Iterable[int] = ()) -> None:
        """Store events, take others back, and whatever `also` stores, in one transaction. WorldError: none of it."""
        gone = list(withdrawn)
        with self._registry.store.database.transaction():
            also()
            for seq in gone:
                self._store.remove(seq)
            added = [self._store.add(row) for row in rows]
        for seq in gone:
            self._forget(seq)
        self.put_in(added)

    def again(self, rows: list[EventRow]) -> None:
        """Deliver events that were given up once more, as if they came now."""
        now = self._clock.now()
        rows = [
            replace(
                row, state="waiting", attempts=0, created_at=now, due_at=now, failed_at=None, reason="", error="",
                answer=b"",
            )
            for row in rows
        ]  # fmt: skip
        with self._registry.store.database.transaction():
            for row in rows:
                self._store.put(row)
        self.put_in(rows)

    def put_in(self, rows: Iterable[EventRow]) -> None:
        """Those that are stored: they are delivered from now on."""
        for row in rows:
            self.lines.add(Waiting.of(row))
        self.changed()

    async def tell(self, app: str, service: str, destination: str, payload: bytes) -> None:
        """Store an event for what `on_failure` of `service` names: a service of the app, else an SQS queue."""
        is_service = f"{app}.{destination}" in self._registry.services
        row = self.new(app, destination if is_service else service, payload, source=SOURCE)
        self.add([replace(row, target="" if is_service else destination)], lambda: None)

    def of_trigger(self, app: str, service: str, trigger: str) -> list[int]:
        """Events of a trigger that have not been delivered yet, those under way included."""
        line = self.lines.find(f"{app}.{service}")
        return [] if line is None else [each.seq for each in line.events.values() if each.trigger == trigger]

    def _check_room(self, row: EventRow) -> None:
        key = f"{row.app}.{row.service}"
        line = self.lines.find(key)
        count = self._ahead[key] + (len(line.events) if line else 0)
        size = self._ahead_bytes[key] + (line.bytes if line else 0)
        if count >= MOST_EVENTS or size + len(row.payload) > MOST_BYTES:
            raise WorldError(
                f"cannot take an event for {row.service}: {count} of its events wait already",
                f"see why it does not take them: fourfold explain {row.service}",
            )
        self._ahead[key] += 1
        self._ahead_bytes[key] += len(row.payload)

    def _make_room(self, row: EventRow) -> None:
        """It is in its line, or was refused."""
        key = f"{row.app}.{row.service}"
        self._ahead[key] -= 1
        self._ahead_bytes[key] -= len(row.payload)
        if not self._ahead[key]:
            del self._ahead[key], self._ahead_bytes[key]

    # -- what becomes of them ---------------------------------------------------------------------------------------

    def write(self, store: Callable[[], None], stored: Callable[[], None]) -> None:
        """With all others of this turn; again while the store refuses."""
        self._writes.add(Write(store, stored))

    def flush(self) -> None:
        self._writes.flush()

    def get(self, seq: int) -> EventRow | None:
        """None: it is not waiting any more."""
        row = self._store.get(seq)
        return row if row is not None and row.state == "waiting" else None

    def remove(self, seq: int) -> None:
        """Inside `write`."""
        self._store.remove(seq)

    def put(self, row: EventRow, told: EventRow | None = None) -> list[EventRow]:
        """Inside `write`: what it has become, and an event that tells of it, unless it was withdrawn, or its app
        purged, since."""
        if not self.lines.has(row.seq):
            return []
        self._store.put(row)
        return [] if told is None else [self._store.add(told)]

    def trim(self, services: list[tuple[str, str]] | None = None) -> None:
        """Forget the oldest that were given up, of these services or all."""
        self._store.trim(self._clock.now(), services)

    def forget(self, app: str) -> None:
        """After its events were removed from the store."""
        for seq in self.lines.of_app(app):
            self._forget(seq)

    def _forget(self, seq: int) -> None:
        self.lines.remove(seq)
        self.dropped(seq)


def _by(now: float, waiting: Waiting) -> Waiting:
    """The clock may have been set back while no daemon was there."""
    due_at = waiting.due_at if waiting.due_at <= now + RETRY_SECONDS[-1] else now
    return replace(waiting, created_at=min(waiting.created_at, now), due_at=due_at)
