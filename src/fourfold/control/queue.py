"""Events that are delivered later: on disk before they are accepted, delivered at least once, retried, given up.

A delivery that the service fails with is tried again after 1 and 2 minutes, as often as its `function.retries`. One
that nothing could take (throttled, not ready) uses up no retry: the service is left alone for growing waits. What is
older than `function.max_age`, or failed too often, is given up: kept as failed, and told to `function.on_failure`.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from fourfold.clock import Clock
from fourfold.control.bus import Bus
from fourfold.control.destinations import SOURCE, destination
from fourfold.control.line import Line, Lines
from fourfold.control.policy import Policy
from fourfold.control.registry import Registry
from fourfold.errors import FourfoldError, NotFoundError, WorldError
from fourfold.functions.model import Answer
from fourfold.store.queue import EventRow, Waiting

log = logging.getLogger(__name__)

RETRY_SECONDS = (60.0, 120.0)
"""Waits before the second and the third try."""
MOST_EVENTS = 100_000
MOST_BYTES = 1024**3
"""Of one service, waiting."""
LOOK_SECONDS = 60.0
"""Between looks for events that have become too old."""
STORE_AGAIN_SECONDS = 1.0


@dataclass(frozen=True)
class Taken:
    """The recipient has stored the event, and taken it from the queue in the same transaction."""


Deliver = Callable[[EventRow], Awaitable[Answer | Taken]]
States = Mapping[str, str]


class Queue:
    """`policy(key)`: how a service gets its events; `holds(event)`: it has to wait for something of its lane."""

    def __init__(
        self,
        registry: Registry,
        bus: Bus,
        clock: Clock,
        deliver: Deliver,
        policy: Callable[[str], Policy],
        holds: Callable[[Waiting], bool] = lambda waiting: False,
    ) -> None:
        self._registry = registry
        self._store = registry.store.queue
        self._bus = bus
        self._clock = clock
        self._deliver = deliver
        self._policy = policy
        self._holds = holds
        self._lines = Lines(self._store.waiting())
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._news = asyncio.Event()
        self._adds: list[tuple[EventRow, States, asyncio.Future[str]]] = []
        self._ahead: dict[str, tuple[int, int]] = {}
        """Of these, by service: how many, and their bytes."""
        self._results: list[tuple[Callable[[], None], Callable[[], None]]] = []
        """What is to be stored, and what to do after that."""
        self._looked_at = 0.0

    # -- putting in -----------------------------------------------------------------------------------------------

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
        stored: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._adds.append((row, state or {}, stored))
        self._flush_soon()
        return await stored

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
        for row in added:
            self._lines.add(_waiting(row))
        self.wake()

    async def tell(self, app: str, service: str, destination: str, payload: bytes) -> None:
        """Store an event for what `on_failure` of `service` names: a service of the app, else an SQS queue."""
        is_service = f"{app}.{destination}" in self._registry.services
        row = self.new(app, destination if is_service else service, payload, source=SOURCE)
        self.add([replace(row, target="" if is_service else destination)], lambda: None)

    def of_trigger(self, app: str, service: str, trigger: str) -> list[int]:
        """Events of a trigger that have not been delivered yet, those under way included."""
        line = self._lines.find(f"{app}.{service}")
        return [] if line is None else [each.seq for each in line.events.values() if each.trigger == trigger]

    def _check_room(self, row: EventRow) -> None:
        key = f"{row.app}.{row.service}"
        line, (ahead, size) = self._lines.find(key), self._ahead.get(key, (0, 0))
        count = ahead + (len(line.events) if line else 0)
        if count >= MOST_EVENTS or size + len(row.payload) + (line.bytes if line else 0) > MOST_BYTES:
            raise WorldError(
                f"cannot take an event for {row.service}: {count} of its events wait already",
                f"see why it does not take them: fourfold explain {row.service}",
            )
        self._ahead[key] = (ahead + 1, size + len(row.payload))

    # -- storing --------------------------------------------------------------------------------------------------

    def _flush_soon(self) -> None:
        if len(self._adds) + len(self._results) == 1:
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        adds, results, self._adds, self._results = self._adds, self._results, [], []
        self._ahead = {}
        states = self._registry.store.trigger_states
        added = []
        try:
            with self._registry.store.database.transaction():
                for store, _ in results:
                    store()
                for row, state, _ in adds:
                    added.append(self._store.add(row))
                    for key, value in state.items():
                        states.put(row.app, row.service, row.trigger, key, value)
        except Exception as error:
            self._not_stored(error, adds, results)
            return
        for _, after in results:
            after()
        for row, (_, _, stored) in zip(added, adds, strict=True):
            self._lines.add(_waiting(row))
            if not stored.done():
                stored.set_result(row.id)
        self.wake()

    def _not_stored(
        self,
        error: Exception,
        adds: list[tuple[EventRow, States, asyncio.Future[str]]],
        results: list[tuple[Callable[[], None], Callable[[], None]]],
    ) -> None:
        """Who puts in is told; what has happened to a delivery is stored later."""
        log.error("cannot store events: %s", error, exc_info=not isinstance(error, FourfoldError))
        for _, _, stored in adds:
            if not stored.done():
                stored.set_exception(error)
        if results:
            self._results = [*results, *self._results]
            asyncio.get_running_loop().call_later(STORE_AGAIN_SECONDS, self._flush)

    def _settle(self, store: Callable[[], None], after: Callable[[], None]) -> None:
        self._results.append((store, after))
        self._flush_soon()

    # -- delivering -----------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Something has changed: an event came, an instance is ready, a run has ended."""
        self._news.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._news.clear()
            try:
                wake_at = self.pump()
            except FourfoldError as error:
                log.error("%s", error)
                wake_at = self._clock.now() + STORE_AGAIN_SECONDS
            except Exception:  # a mistake of ours must not keep all events from being delivered
                log.exception("a fault in the loop of events")
                wake_at = self._clock.now() + STORE_AGAIN_SECONDS
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, wake_at - self._clock.now())):
                    await self._news.wait()

    def pump(self) -> float:
        """Start what is due; when to look again at the latest."""
        now = self._clock.now()
        wake_at = now + LOOK_SECONDS
        old = not self._looked_at <= now < self._looked_at + LOOK_SECONDS
        if old:
            self._looked_at = now
            self._store.trim(now)
        for key, line in self._lines.all():
            policy = self._policy(key)
            if old:
                self._give_up_old(line, policy, now)
            if not policy.live:
                continue
            for waiting in line.take(now, policy, self._holds):
                self._begin(key, line, waiting)
            wake_at = min(wake_at, line.wake_at(policy))
        return wake_at

    def _begin(self, key: str, line: Line, waiting: Waiting) -> None:
        task = asyncio.get_running_loop().create_task(self._try(key, line, waiting))
        self._tasks[waiting.seq] = task
        task.add_done_callback(lambda done: self._ended(waiting.seq, done))

    def _ended(self, seq: int, task: asyncio.Task[None]) -> None:
        if self._tasks.get(seq) is task:
            del self._tasks[seq]

    async def _try(self, key: str, line: Line, waiting: Waiting) -> None:
        try:
            row = self._store.get(waiting.seq)
            if row is None or row.state != "waiting":
                self._lines.remove(waiting.seq)
                return
            policy = self._policy(key)
            if self._clock.now() - row.created_at > policy.max_age:
                self._give_up(line, replace(row, reason="EventAgeExceeded"), policy)
                return
            answer = await self._deliver(row)
        except FourfoldError as error:
            self._later(key, line, waiting, str(error))
        except Exception:  # a mistake of ours loses no event
            log.exception("cannot deliver event %d to %s", waiting.seq, key)
            self._later(key, line, waiting, "a fault in Fourfold")
        else:
            self._answered(key, line, waiting, row, answer, policy)

    def _answered(
        self, key: str, line: Line, waiting: Waiting, row: EventRow, answer: Answer | Taken, policy: Policy
    ) -> None:
        if isinstance(answer, Taken):
            self._lines.remove(waiting.seq)
            self.wake()
        elif answer.status in (429, 503):
            self._later(key, line, waiting, f"answered {answer.status}")
        elif answer.error or answer.status >= 400:
            self._failed(line, row, answer, policy)
        else:
            self._settle(lambda: self._remove(row.seq), lambda: self._delivered(line, row.seq))

    def _remove(self, seq: int) -> None:
        self._store.remove(seq)

    def _delivered(self, line: Line, seq: int) -> None:
        line.resume()
        self._lines.remove(seq)

    def _later(self, key: str, line: Line, waiting: Waiting, why: str) -> None:
        log.debug("an event for %s has to wait: %s", key, why)
        line.put_back(waiting.seq)
        line.pause(self._clock.now(), self._policy(key).ready)
        self.wake()

    def _failed(self, line: Line, row: EventRow, answer: Answer, policy: Policy) -> None:
        now = self._clock.now()
        line.resume()
        row = replace(row, attempts=row.attempts + 1, answer=answer.payload, error=answer.error or str(answer.status))
        if row.attempts > policy.retries:
            self._give_up(line, replace(row, reason="RetriesExhausted"), policy)
            return
        due = now + RETRY_SECONDS[min(row.attempts, len(RETRY_SECONDS)) - 1]
        if due - row.created_at > policy.max_age:
            self._give_up(line, replace(row, reason="EventAgeExceeded"), policy)
            return
        row = replace(row, due_at=due)
        self._settle(lambda: self._store.put(row), lambda: line.put_back(row.seq, due))

    # -- giving up ------------------------------------------------------------------------------------------------

    def _give_up_old(self, line: Line, policy: Policy, now: float) -> None:
        for waiting in line.older_than(now - policy.max_age):
            row = self._store.get(waiting.seq)
            if row is not None and line.hold(waiting.seq):
                self._give_up(line, replace(row, reason="EventAgeExceeded"), policy)

    def _give_up(self, line: Line, row: EventRow, policy: Policy) -> None:
        """Kept as failed and told to its destination, in one transaction."""
        now = self._clock.now()
        failed = replace(row, state="failed", failed_at=now)
        told = destination(failed, policy.on_failure, policy.fails_to_service, now)

        def store() -> None:
            self._store.put(failed)
            if told is not None:
                stored.append(self._store.add(told))
            self._store.trim(now, [(row.app, row.service)])

        def after() -> None:
            self._lines.remove(row.seq)
            for each in stored:
                self._lines.add(_waiting(each))
            what = f"an event of {row.source} was given up: {why_in_words(failed)}"
            self._bus.emit("event.failed", what, app=row.app, service=row.service, id=row.id, reason=row.reason)

        stored: list[EventRow] = []
        self._settle(store, after)

    # -- for people -----------------------------------------------------------------------------------------------

    def failed(self, app: str, service: str | None) -> list[EventRow]:
        """Those that were given up, newest first."""
        return self._store.failed(app, service)

    def replay(self, app: str, service: str | None, ids: Iterable[str] | None) -> list[EventRow]:
        """Deliver given up events once more, as if they came now: those named, or all of the service."""
        there = {row.id: row for row in self._store.failed(app, service)}
        wanted = list(there) if ids is None else list(dict.fromkeys(ids))
        if missing := [id for id in wanted if id not in there]:
            raise NotFoundError(
                f"cannot replay {', '.join(missing)}: no failed event of {service or app} has this id",
                "see: fourfold events --failed",
            )
        now = self._clock.now()
        rows = [
            replace(
                there[id], state="waiting", attempts=0, created_at=now, due_at=now, failed_at=None, reason="", error="",
                answer=b"",
            )
            for id in reversed(wanted)
        ]  # fmt: skip
        with self._registry.store.database.transaction():
            for row in rows:
                self._store.put(row)
        for row in rows:
            self._lines.add(_waiting(row))
        self.wake()
        return rows

    def forget(self, app: str) -> None:
        """After its events were removed from the store."""
        for seq in self._lines.of_app(app):
            self._forget(seq)

    def _forget(self, seq: int) -> None:
        self._lines.remove(seq)
        if task := self._tasks.pop(seq, None):
            task.cancel()

    async def close(self) -> None:
        """What is under way is delivered again by the next daemon."""
        if self._adds or self._results:
            self._flush()
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def why_in_words(row: EventRow) -> str:
    if row.reason == "EventAgeExceeded":
        return "it was too old"
    return f"the service failed {row.attempts} time{'s' if row.attempts != 1 else ''} ({row.error})"


def _waiting(row: EventRow) -> Waiting:
    return Waiting(
        row.seq, row.app, row.service, row.trigger, row.lane, len(row.payload), row.created_at, row.due_at
    )  # fmt: skip
