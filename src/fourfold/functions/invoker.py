"""Which event goes to which sandbox, and how many sandboxes there are.

Events are taken in the order in which they came, by whichever sandbox is free first; of several free ones by the one
used last, so that those nobody needs grow old. A new sandbox is begun for each event that finds none free, as far as
`concurrency` allows, several at once.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter, deque
from collections.abc import Callable, Coroutine
from typing import Any

from fourfold.functions import endings
from fourfold.functions.endings import Outcome
from fourfold.functions.invocation import Event, InitFailure, Stream, Surroundings, with_log
from fourfold.functions.model import Invocation
from fourfold.functions.runtimeapi import site_for
from fourfold.functions.sandboxes import SandboxError
from fourfold.functions.slot import Slot

INIT, EMULATED_INIT = 10.0, 60.0
"""Seconds that an init may take, the first time that it is tried (AWS's); where processors are emulated."""
MAX_WAIT = 60.0
"""Seconds after which an event that found no sandbox is refused: clients have given up by then (as boto3 does)."""
RETRY_FIRST, RETRY_LAST, RETRY_BROKEN = 0.5, 5.0, 60.0
"""Seconds between attempts to make sandboxes while none can be made, and to keep some ready whose init fails."""


class InitError(Exception):
    """The first sandbox did not come to its first `next`, tried twice."""


class Invoker:
    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._config = around.config
        self._loop = around.loop
        self._slots: set[Slot] = set()
        self._servers: dict[Slot, asyncio.AbstractServer] = {}
        self._warm: dict[Slot, None] = {}  # the one used last is the last
        self._queue: deque[Event] = deque()
        self._waiting = 0  # of those in the queue: some may have left
        self._making = 0  # starts that have no slot yet
        self._initing = 0  # slots that have not come to their first `next`
        self._at_once = max(4, 2 * (os.cpu_count() or 1))
        machine = self._config.machine
        self._init = EMULATED_INIT if machine is not None and machine.is_emulated else INIT
        self._draining = False
        self._broken = False  # the last init failed twice
        self._pause = 0.0  # before sandboxes are made again
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._first: asyncio.Future[None] | None = None
        self._quiet = asyncio.Event()
        self.totals: Counter[str] = Counter()

    # for those who have events

    async def open(self) -> None:
        """Returns when the first sandbox can take an event. Raises InitError."""
        if self._config.concurrency:
            self._first = self._loop.create_future()
            self._start(1, self._config.provisioned > 0)
            await self._first
            self._first = None
        self._fill()

    def submit(self, invocation: Invocation, done: Callable[[Outcome], None], stream: Stream | None = None) -> Event:
        """`done` is called once, perhaps before this returns."""
        event = Event(invocation, done, self._around.elapsed(), stream)
        if self._draining:
            self._refuse(event, endings.unavailable("the function is stopping"))
        elif not self._config.concurrency:
            self._refuse(event, endings.throttled())
        elif (slot := self._take_warm()) is not None:
            slot.give(event)
        else:
            self._queue.append(event)
            self._waiting += 1
            self._fill()
            if self._waiting > self._config.queue + self._to_come():
                self._queue.pop()
                self._waiting -= 1
                self._refuse(event, endings.throttled())
            elif "sweep" not in self._timers:
                self._later("sweep", 1.0, self._sweep)
        return event

    def abandon(self, event: Event) -> None:
        """Nobody waits for its outcome any more: if it has not begun, it does not."""
        if event.waiting:
            event.waiting = False
            self._waiting -= 1

    async def drain(self) -> None:
        """Take no more events; returns when all that were taken are answered."""
        self._draining = True
        while self._waiting or any(slot.event is not None for slot in self._slots):
            self._quiet.clear()
            await self._quiet.wait()

    async def close(self) -> None:
        self._draining = True
        for timer in self._timers.values():
            timer.cancel()
        for slot in tuple(self._slots):
            slot.close()
        while self._tasks:
            await asyncio.wait(tuple(self._tasks))
        for slot in tuple(self._slots):
            await slot.wait_closed()

    def note(self, text: str) -> None:
        """A line of ours in the log."""
        self._around.output.write(f"[fourfold] {text}\n".encode())

    def state(self) -> dict[str, Any]:
        states = Counter("frozen" if slot.frozen and slot.state == "idle" else slot.state for slot in self._slots)
        states["starting"] += self._making
        return {
            "instance": self._config.instance,
            "release": self._config.release,
            "concurrency": self._config.concurrency,
            "sandboxes": {state: count for state, count in sorted(states.items()) if count},
            "waiting": self._waiting,
            "stopping": self._draining,
            "totals": dict(self.totals),
        }

    # Owner of slots

    def ready(self, slot: Slot) -> None:
        if (event := self._take_waiting()) is not None:
            slot.give(event)
            return
        self._warm.pop(slot, None)
        self._warm[slot] = None
        slot.rest()
        self._quiet.set()
        self._expect_idle()

    def lost(self, slot: Slot) -> None:
        self._slots.discard(slot)
        if slot.provisioned and slot.idle_since and not slot.last_id and not self._draining:
            self._hold("broken", RETRY_BROKEN)  # its init succeeds, and then it ends: not again and again
        self._warm.pop(slot, None)
        if (server := self._servers.pop(slot, None)) is not None:
            server.close()
        self._quiet.set()
        self._fill()

    def init_failed(self, slot: Slot, failure: InitFailure) -> None:
        self._initing -= 1
        self.totals["init_failures"] += 1
        if slot.attempt == 1:
            if self._waiting or self._first is not None or slot.provisioned:
                self._start(2, slot.provisioned)  # in its place
            return
        self._broken = True
        if self._first is not None and not self._first.done():
            self._first.set_exception(InitError(failure.words(self._config.timeout)))
        if (event := self._take_waiting()) is not None:
            self._fail_init(event, failure, slot)
        elif slot.provisioned:
            self._hold("broken", RETRY_BROKEN)

    def returned(self, event: Event) -> None:
        event.waiting = True
        self._waiting += 1
        self._queue.appendleft(event)
        self._fill()

    def count(self, outcome: Outcome, cold: bool) -> None:
        self.totals["invocations"] += 1
        self.totals[outcome.ended or "error"] += 1
        if outcome.ended == "ok":
            self._pause = 0.0
        self.totals["cold"] += cold
        self._quiet.set()

    # events

    def _take_warm(self) -> Slot | None:
        while self._warm:
            slot, _ = self._warm.popitem()
            if slot.free:
                return slot
        return None

    def _take_waiting(self) -> Event | None:
        while self._queue:
            event = self._queue.popleft()
            if event.waiting:
                self._waiting -= 1
                return event
        return None

    def _refuse(self, event: Event, outcome: Outcome) -> None:
        event.waiting = False
        self.totals["throttled" if outcome.status == 429 else "refused"] += 1
        event.done(outcome)

    def _fail_init(self, event: Event, failure: InitFailure, slot: Slot) -> None:
        """It gets what the init that was tried for it came to, and the time that took."""
        event.waiting = False
        outcome = failure.outcome(event.invocation.request_id, self._config.timeout)
        log = slot.account_init(event.invocation, failure, outcome)
        self.count(outcome, cold=True)
        event.done(with_log(outcome, log) if event.invocation.tail else outcome)

    def _sweep(self) -> None:
        """Refuse those who have waited too long; they are in front."""
        limit = self._around.elapsed() - max(MAX_WAIT, self._config.timeout)
        while self._queue and (not self._queue[0].waiting or self._queue[0].since < limit):
            event = self._queue.popleft()
            if event.waiting:
                self._waiting -= 1
                self._refuse(event, endings.throttled())
        if len(self._queue) > 2 * self._waiting + 100:  # most have left
            self._queue = deque(event for event in self._queue if event.waiting)
        self._quiet.set()
        if self._queue:
            self._later("sweep", 1.0, self._sweep)

    # sandboxes

    def _fill(self) -> None:
        """Start as many as events wait for, and as are to be kept ready."""
        if "pause" in self._timers:
            return
        there = len(self._slots) + self._making
        for_events = self._waiting - self._starting
        kept = self._config.provisioned - there
        if self._draining or self._first is not None or "broken" in self._timers:
            kept = 0
        room = self._config.concurrency - there
        for _ in range(min(max(for_events, kept), room, self._at_once - self._starting)):
            self._start(2 if self._broken else 1, len(self._slots) + self._making < self._config.provisioned)

    @property
    def _starting(self) -> int:
        return self._making + self._initing

    def _to_come(self) -> int:
        """Sandboxes that events may wait for without being in anybody's queue."""
        return self._config.concurrency - (len(self._slots) - self._initing)

    def _start(self, attempt: int, provisioned: bool) -> None:
        self._making += 1
        self._spawn(self._make(attempt, provisioned))

    async def _make(self, attempt: int, provisioned: bool) -> None:
        began = self._around.elapsed()
        try:
            sandbox = await self._around.sandboxes.start()
        except SandboxError as error:
            self._making -= 1
            self._cannot_start(str(error))
            return
        self._making -= 1
        self._initing += 1
        slot = Slot(self._around, self, sandbox, attempt, provisioned, began)
        self._slots.add(slot)
        self.totals["sandboxes"] += 1
        again = self._config.timeout if self._first is None else max(self._init, self._config.timeout)  # nobody waits
        slot.watch_init(self._init if attempt == 1 else again)
        listener = sandbox.listener.dup()  # a server closes what it listens on, and that is the sandbox's
        self._servers[slot] = await self._loop.create_server(site_for(slot).protocol, sock=listener)

    def came_up(self, slot: Slot) -> None:
        self._initing -= 1
        self._broken = False
        if self._first is not None and not self._first.done():
            self._first.set_result(None)

    def _cannot_start(self, why: str) -> None:
        """The host's fault: nobody's init has failed, and those who run go on."""
        self.totals["start_failures"] += 1
        self.note(f"no sandbox could be made: {why}")
        if self._first is not None and not self._first.done():
            self._first.set_exception(InitError(why))
        while not self._slots and not self._making and (event := self._take_waiting()) is not None:
            self._refuse(event, endings.unavailable(f"no sandbox could be made: {why}"))
        self._hold("pause", RETRY_LAST)

    def _hold(self, what: str, most: float) -> None:
        """Start none for a while, longer each time: `pause` none at all, `broken` none that are only kept ready."""
        self._pause = min(max(RETRY_FIRST, self._pause * 2), most)
        if what not in self._timers:
            self._later(what, self._pause, self._fill)

    # time

    def _expect_idle(self) -> None:
        if self._warm and "idle" not in self._timers:
            left = next(iter(self._warm)).idle_since + self._config.idle - self._around.elapsed()
            self._later("idle", max(0.0, left), self._end_idle)

    def _end_idle(self) -> None:
        """Those in front have been idle the longest."""
        limit = self._around.elapsed() - self._config.idle
        extra = len(self._slots) - self._config.provisioned
        for slot in [slot for slot in self._warm if slot.idle_since <= limit][: max(0, extra)]:
            self._warm.pop(slot)
            self.totals["idled_out"] += 1
            slot.close()
        if len(self._slots) > self._config.provisioned:
            self._expect_idle()

    def _later(self, name: str, seconds: float, do: Callable[[], None]) -> None:
        def fire() -> None:
            self._timers.pop(name, None)
            do()

        self._timers[name] = self._loop.call_later(seconds, fire)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
