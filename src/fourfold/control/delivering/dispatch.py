"""Delivers events: at least once, as many at once as a service may have, retried, given up.

A delivery that the service fails with is tried again after 1 and 2 minutes, as often as its `function.retries`. So is
one that was sent and whose answer is lost because what had it died, which may have been its doing; only its second try
comes soon. One that nothing could take (throttled, not ready) uses up no retry: the service is left alone for growing
waits. What is older than `function.max_age`, or failed too often, is given up: kept as failed, and told to
`function.on_failure`.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from fourfold.clock import Clock
from fourfold.control.bus import Bus
from fourfold.control.delivering.destinations import destination
from fourfold.control.delivering.invoking import LostError
from fourfold.control.delivering.line import RETRY_SECONDS, Holds, Line
from fourfold.control.delivering.policy import Policy
from fourfold.control.delivering.queue import Queue
from fourfold.control.loops import keep
from fourfold.errors import FourfoldError
from fourfold.functions.model import Answer
from fourfold.store.tables.queue import EventRow, Waiting

log = logging.getLogger(__name__)

LOST_SECONDS = 1.0
"""Before the second one, after an answer was lost: what had the event may have been killed by somebody else."""
LOOK_SECONDS = 60.0
"""Between looks for events that have become too old."""
MOST_OLD = 1_000
"""Of a service, given up at one look: the others a moment later."""
END_SECONDS = 2.0
"""For deliveries under way when the daemon ends."""


@dataclass(frozen=True)
class Taken:
    """The recipient has stored the event, and taken it from the queue in the same transaction."""


Deliver = Callable[[EventRow], Awaitable[Answer | Taken]]


class Dispatcher:
    """`policy(line)`: how events of a line are delivered; `holds(event)`: what of the job it has to wait for."""

    def __init__(
        self,
        queue: Queue,
        bus: Bus,
        clock: Clock,
        deliver: Deliver,
        policy: Callable[[str], Policy],
        holds: Callable[[Waiting], Holds] = lambda waiting: "",
    ) -> None:
        self._queue = queue
        self._bus = bus
        self._clock = clock
        self._deliver = deliver
        self._policy = policy
        self._holds = holds
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._news = asyncio.Event()
        self._trimming: set[tuple[str, str]] = set()
        self._looked_at = 0.0
        queue.changed, queue.dropped = self.wake, self._drop

    def wake(self) -> None:
        """Something has changed: an event came, an instance is ready, a run has ended."""
        self._news.set()

    async def run(self) -> None:
        """Until cancelled."""
        await keep("events", self.pump, self._news, self._clock)

    def pump(self) -> float:
        """Start what is due; when to look again at the latest."""
        now = self._clock.now()
        wake_at = now + LOOK_SECONDS
        old = not self._looked_at <= now < self._looked_at + LOOK_SECONDS
        if old:
            self._looked_at = now
            self._queue.trim()
        for key, line in self._queue.lines.all():
            policy = self._policy(key)
            if old and self._give_up_old(line, policy, now):
                wake_at, self._looked_at = now, 0.0
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
            row = self._queue.get(waiting.seq)
            if row is None:
                self._queue.lines.remove(waiting.seq)
                return
            policy = self._policy(key)
            if self._clock.now() - row.created_at > policy.max_age:
                self._give_up(line, replace(row, reason="EventAgeExceeded"), policy)
                return
            try:
                answer = await self._deliver(row)
            except LostError as error:
                self._failed(line, row, _lost(error, row), policy, LOST_SECONDS)
                return
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
            self._queue.lines.remove(waiting.seq)
            self.wake()
        elif answer.status in (429, 503):
            self._later(key, line, waiting, f"answered {answer.status}")
        elif answer.error or answer.status >= 400:
            self._failed(line, row, answer, policy)
        else:
            self._queue.write(lambda: self._queue.remove(row.seq), lambda: self._delivered(line, row.seq))

    def _delivered(self, line: Line, seq: int) -> None:
        line.resume()
        self._queue.lines.remove(seq)
        self.wake()

    def _later(self, key: str, line: Line, waiting: Waiting, why: str) -> None:
        log.debug("an event for %s has to wait: %s", key, why)
        line.put_back(waiting.seq)
        line.pause(self._clock.now(), self._policy(key).ready, why)
        self.wake()

    def _failed(
        self, line: Line, row: EventRow, answer: Answer, policy: Policy, first: float = RETRY_SECONDS[0]
    ) -> None:
        now = self._clock.now()
        line.resume()
        row = replace(row, attempts=row.attempts + 1, answer=answer.payload, error=answer.error or str(answer.status))
        if (waiting := line.events.get(row.seq)) is not None:  # moved, if the clock was set meanwhile
            row = replace(row, created_at=waiting.created_at)
        if row.attempts > policy.retries:
            self._give_up(line, replace(row, reason="RetriesExhausted"), policy)
            return
        due = now + (first if row.attempts == 1 else RETRY_SECONDS[1])
        if due - row.created_at > policy.max_age:
            self._give_up(line, replace(row, reason="EventAgeExceeded"), policy)
            return
        row = replace(row, due_at=due)

        def store() -> None:
            self._queue.put(row)

        self._queue.write(store, lambda: self._put_back(line, row.seq, due))

    def _put_back(self, line: Line, seq: int, due: float) -> None:
        line.put_back(seq, due)
        self.wake()

    # -- giving up ------------------------------------------------------------------------------------------------

    def _give_up_old(self, line: Line, policy: Policy, now: float) -> bool:
        """Whether there are more of them."""
        old = line.older_than(now - policy.max_age, MOST_OLD)
        for waiting in old:
            row = self._queue.get(waiting.seq)
            if row is not None and line.hold(waiting.seq):
                self._give_up(line, replace(row, reason="EventAgeExceeded"), policy)
        return len(old) == MOST_OLD

    def _give_up(self, line: Line, row: EventRow, policy: Policy) -> None:
        """Kept as failed and told to its destination, in one transaction."""
        now = self._clock.now()
        failed = replace(row, state="failed", failed_at=now)
        told = destination(failed, policy.on_failure, policy.fails_to_service, now)
        added: list[EventRow] = []

        def store() -> None:
            added[:] = self._queue.put(failed, told)

        def stored() -> None:
            self._queue.lines.remove(row.seq)
            self._queue.put_in(added)
            what = f"an event of {row.source} was given up: {why_in_words(failed)}"
            self._bus.emit("event.failed", what, app=row.app, service=row.service, id=row.id, reason=row.reason)

        self._queue.write(store, stored)
        self._trim_soon(row.app, row.service)

    def _trim_soon(self, app: str, service: str) -> None:
        """Once for all that are given up together."""
        which = (app, service)
        if which not in self._trimming:
            self._trimming.add(which)
            self._queue.write(lambda: self._queue.trim([which]), lambda: self._trimming.discard(which))

    # -- ending ---------------------------------------------------------------------------------------------------

    def _drop(self, seq: int) -> None:
        if task := self._tasks.pop(seq, None):
            task.cancel()

    async def close(self, grace: float = END_SECONDS) -> None:
        """What is still under way after `grace` is delivered again by the next daemon."""
        tasks = list(self._tasks.values())
        if tasks:
            await asyncio.wait(tasks, timeout=grace)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._queue.flush()


def why_in_words(row: EventRow) -> str:
    if row.reason == "EventAgeExceeded":
        return "it was too old"
    return f"the service failed {row.attempts} time{'s' if row.attempts != 1 else ''} ({row.error})"


def _lost(error: LostError, row: EventRow) -> Answer:
    """What had it died of it, as far as can be told: a function that fails with it would have said so."""
    told = {"errorType": "Runtime.ExitError", "errorMessage": f"RequestId: {row.id} Error: {error}"}
    return Answer(200, json.dumps(told).encode(), error="Unhandled")
