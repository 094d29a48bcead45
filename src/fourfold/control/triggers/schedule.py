"""All schedules of all services: one heap, one timer. What fires is stored with the state that says it has fired."""

from __future__ import annotations

import asyncio
import heapq
import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from fourfold.clock import Clock, rfc3339
from fourfold.control.bus import Bus
from fourfold.control.delivering.destinations import ACCOUNT
from fourfold.control.delivering.jobs import Jobs
from fourfold.control.delivering.queue import Queue
from fourfold.control.loops import keep
from fourfold.control.triggers.aws import REGION
from fourfold.control.triggers.due import Memory, Timing
from fourfold.spec.cron import parse_when, zone_of
from fourfold.spec.triggers import Schedule
from fourfold.store.tables.queue import EventRow
from fourfold.store.tables.triggerstate import TriggerStates

LOOK_SECONDS = 10.0
"""Between looks at the clock at the most: it may have been set."""
MOST_QUEUED = 100
"""Events of one schedule with `overlap: queue` that wait; more are left out."""
KEY = "schedule"
"""Of its state."""

Key = tuple[str, str, str]
"""App, service, identity of the trigger."""


@dataclass(frozen=True)
class Entry:
    """A schedule of a service that is live."""

    spec: Schedule
    max_age: float


class Schedules:
    def __init__(self, states: TriggerStates, queue: Queue, jobs: Jobs, bus: Bus, clock: Clock) -> None:
        self._states = states
        self._queue = queue
        self._jobs = jobs
        self._bus = bus
        self._clock = clock
        self._entries: dict[Key, Entry] = {}
        self._timings: dict[Key, Timing] = {}
        self._memories: dict[Key, Memory] = {}
        self._heap: list[tuple[float, Key]] = []
        """(due, key); what is in `_memories` counts, others are old."""
        self._news = asyncio.Event()

    # -- which there are ------------------------------------------------------------------------------------------

    def keep(self, wanted: Mapping[Key, Entry]) -> None:
        """From now on these, and no others. One that was not there before begins now, whatever it would have missed."""
        for key in self._entries.keys() - wanted.keys():
            self._forget(key)
        for key, entry in wanted.items():
            if self._entries.get(key) != entry:
                self._begin(key, entry)
        self._news.set()

    def forget_others(self) -> None:
        """What was stopped while no daemon was there remembers nothing."""
        for key in self._states.triggers():
            if key[2].startswith("schedule-") and key not in self._entries:
                self._states.remove(*key)

    def next_of(self, app: str, service: str) -> float | None:
        """When the first of a service's schedules is due."""
        dues = (m.due for key, m in self._memories.items() if key[:2] == (app, service) and m.due is not None)
        return min(dues, default=None)

    def _begin(self, key: Key, entry: Entry) -> None:
        timing = Timing(parse_when(entry.spec.cron, entry.spec.rate), zone_of(entry.spec.timezone), entry.max_age)
        stored = self._states.get(*key, KEY)
        memory = Memory(**json.loads(stored)) if stored is not None else timing.begin(self._clock.now())
        if stored is None:
            self._states.put(*key, KEY, _text(memory))
        self._entries[key], self._timings[key] = entry, timing
        self._remember(key, memory)

    def _forget(self, key: Key) -> None:
        self._states.remove(*key)
        del self._entries[key], self._timings[key], self._memories[key]

    def _remember(self, key: Key, memory: Memory) -> None:
        self._memories[key] = memory
        if memory.due is not None:
            heapq.heappush(self._heap, (memory.due, key))

    # -- firing ---------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled."""
        await keep("schedules", self.pump, self._news, self._clock)

    def pump(self) -> float:
        """Fire what is due, in one transaction; when to look again at the latest."""
        now = self._clock.now()
        self._correct(now)
        due: dict[Key, tuple[Memory, float | None]] = {}
        taken: list[tuple[float, Key]] = []
        while self._heap and self._heap[0][0] <= now:
            taken.append(heapq.heappop(self._heap))
            at, key = taken[-1]
            memory = self._memories.get(key)
            if memory is not None and memory.due == at and key not in due:
                due[key] = self._timings[key].look(memory, now)
        if due:
            try:
                self._fire(due)
            except BaseException:
                for entry in taken:  # not stored, so not fired: again
                    heapq.heappush(self._heap, entry)
                raise
        return min(now + LOOK_SECONDS, self._heap[0][0] if self._heap else now + LOOK_SECONDS)

    def _correct(self, now: float) -> None:
        """After the clock was set back by far."""
        for key, memory in self._memories.items():
            changed, _ = self._timings[key].look(memory, now) if now < memory.fired else (memory, None)
            if changed != memory:
                self._states.put(*key, KEY, _text(changed))
                self._remember(key, changed)

    def _fire(self, due: Mapping[Key, tuple[Memory, float | None]]) -> None:
        events: list[EventRow] = []
        withdrawn: list[int] = []
        left_out: list[tuple[Key, str]] = []
        replaced: list[Key] = []
        for key, (_, at) in due.items():
            if at is None:
                continue
            overlap = self._entries[key].spec.overlap
            pending = self._queue.of_trigger(*key)
            running = self._jobs.under_way(f"{key[0]}.{key[1]}", key[2])
            if overlap == "skip" and (pending or running):
                left_out.append((key, "the last one still runs"))
                continue
            if overlap == "queue" and len(pending) >= MOST_QUEUED:
                left_out.append((key, f"{MOST_QUEUED} before it wait"))
                continue
            if overlap == "replace":
                withdrawn += pending
                replaced.append(key)
            lane = "" if overlap == "allow" else key[2]
            app, service, trigger = key
            payload = scheduled_event(app, service, trigger, at)
            events.append(self._queue.new(app, service, payload, source="schedule", trigger=trigger, lane=lane))

        def store() -> None:
            for key, (memory, _) in due.items():
                self._states.put(*key, KEY, _text(memory))

        self._queue.add(events, store, withdrawn)
        for key, (memory, _) in due.items():
            self._remember(key, memory)
        for key in replaced:
            for run in self._jobs.under_way(f"{key[0]}.{key[1]}", key[2]):
                self._jobs.stop(run, "stopped", "replaced by the next one of its schedule")
        for key, why in left_out:
            self._bus.emit("trigger.skipped", f"a schedule was due and is left out: {why}", app=key[0], service=key[1])


def scheduled_event(app: str, service: str, trigger: str, at: float) -> bytes:
    """As EventBridge has it; `time` is when it was due."""
    return json.dumps(
        {
            "version": "0",
            "id": str(uuid.uuid4()),
            "detail-type": "Scheduled Event",
            "source": "aws.events",
            "account": ACCOUNT,
            "time": rfc3339(int(at)),
            "region": REGION,
            "resources": [f"arn:aws:events:{REGION}:{ACCOUNT}:rule/{app}-{service}-{trigger}"],
            "detail": {},
        },
        separators=(",", ":"),
    ).encode()


def _text(memory: Memory) -> str:
    return json.dumps(asdict(memory))
