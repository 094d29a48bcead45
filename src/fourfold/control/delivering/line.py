"""The events of each service in memory, without their payloads: which are due, which are under way, which must wait."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Literal

from fourfold.control.delivering.policy import Policy
from fourfold.store.tables.queue import Waiting

RETRY_SECONDS = (60.0, 120.0)
"""Waits before the second and the third try of an event."""
PAUSES = (1.0, 300.0)
"""Seconds for which a service that could not take an event is left alone: the first, and the longest."""

Holds = Literal["", "lane", "service"]
"""What an event has to wait for: nothing, the one before it in its lane, or room for any of its service."""


@dataclass
class Line:
    """Of one service, or of what it tells one SQS queue."""

    events: dict[int, Waiting] = field(default_factory=dict)
    """All: due, waiting for a retry, under way."""
    under_way: set[int] = field(default_factory=set)
    bytes: int = 0
    _due: list[tuple[float, int]] = field(default_factory=list)
    """A heap. Of a lane only its first is in it."""
    _lanes: dict[str, deque[int]] = field(default_factory=dict)
    refused: str = ""
    """Why the service could not take the last one; empty: it took it."""
    _paused_until: float = 0.0
    _pause: float = 0.0
    _paused_with: int = 0
    """How many instances were ready then."""

    def add(self, waiting: Waiting) -> None:
        if waiting.seq in self.events:
            return
        self.events[waiting.seq] = waiting
        self.bytes += waiting.size
        if waiting.lane:
            lane = self._lanes.setdefault(waiting.lane, deque())
            lane.append(waiting.seq)
            if lane[0] != waiting.seq:
                return
        heapq.heappush(self._due, (waiting.due_at, waiting.seq))

    def remove(self, seq: int) -> None:
        waiting = self.events.pop(seq, None)
        if waiting is None:
            return
        self.under_way.discard(seq)
        self.bytes -= waiting.size
        if waiting.lane:
            self._leave_lane(waiting)

    def _leave_lane(self, waiting: Waiting) -> None:
        lane = self._lanes[waiting.lane]
        first = lane[0] == waiting.seq
        lane.remove(waiting.seq)
        if not lane:
            del self._lanes[waiting.lane]
        elif first:
            heapq.heappush(self._due, (self.events[lane[0]].due_at, lane[0]))

    def take(self, now: float, policy: Policy, holds: Callable[[Waiting], Holds]) -> Iterator[Waiting]:
        """Those to be delivered now; they are under way from then on."""
        if self._paused_until > now:
            if policy.ready <= self._paused_with:
                return
            self.resume()
        held = []
        while self._due and self._due[0][0] <= now and len(self.under_way) < policy.parallel:
            entry = heapq.heappop(self._due)
            waiting = self.events.get(entry[1])
            if waiting is None or waiting.seq in self.under_way:
                continue
            if why := holds(waiting):
                held.append(entry)
                if why == "service":
                    break
                continue
            self.under_way.add(waiting.seq)
            yield waiting
            if self._pause:
                break  # after a pause one goes ahead, to see whether it is taken
        for entry in held:
            heapq.heappush(self._due, entry)

    def wake_at(self, policy: Policy) -> float:
        if not self._due or len(self.under_way) >= policy.parallel:
            return float("inf")
        return max(self._due[0][0], self._paused_until)

    def put_back(self, seq: int, due_at: float | None = None) -> None:
        """It was not delivered, and is due again: at once, or then."""
        waiting = self.events.get(seq)
        if waiting is None:
            return
        if due_at is not None:
            waiting = self.events[seq] = replace(waiting, due_at=due_at)
        self.under_way.discard(seq)
        heapq.heappush(self._due, (waiting.due_at, seq))

    def hold(self, seq: int) -> bool:
        """Take it out of what is due; False: it is under way."""
        if seq not in self.events or seq in self.under_way:
            return False
        self.under_way.add(seq)
        return True

    def older_than(self, moment: float, most: int) -> list[Waiting]:
        old = (each for each in self.events.values() if each.created_at < moment and each.seq not in self.under_way)
        return list(islice(old, most))

    def pause(self, now: float, ready: int, why: str) -> None:
        """Leave the service alone; twice as long as before. `ready`: with more instances than these it ends at once."""
        self.refused = why
        if self._paused_until > now:
            return  # another delivery was refused in the same moment
        first, longest = PAUSES
        self._pause = min(max(self._pause * 2, first), longest)
        self._paused_until = now + self._pause
        self._paused_with = ready

    def move(self, by: float) -> None:
        """All times, by so many seconds."""
        for seq, each in self.events.items():
            self.events[seq] = replace(each, created_at=each.created_at + by, due_at=each.due_at + by)
        self._due = [(at + by, seq) for at, seq in self._due]
        self._paused_until += by

    def resume(self) -> None:
        self._pause = self._paused_until = 0.0
        self.refused = ""


class Lines:
    """Of all services that have any events."""

    def __init__(self, waiting: Iterable[Waiting] = ()) -> None:
        self._lines: dict[str, Line] = {}
        self._keys: dict[int, str] = {}
        for each in waiting:
            self.add(each)

    def add(self, waiting: Waiting) -> None:
        self._keys[waiting.seq] = waiting.line
        self._lines.setdefault(waiting.line, Line()).add(waiting)

    def has(self, seq: int) -> bool:
        return seq in self._keys

    def remove(self, seq: int) -> None:
        key = self._keys.pop(seq, None)
        if key is None:
            return
        line = self._lines[key]
        line.remove(seq)
        if not line.events:
            del self._lines[key]

    def find(self, key: str) -> Line | None:
        return self._lines.get(key)

    def all(self) -> list[tuple[str, Line]]:
        return list(self._lines.items())

    def move(self, by: float) -> None:
        for line in self._lines.values():
            line.move(by)

    def of_app(self, app: str) -> list[int]:
        return [seq for seq, key in self._keys.items() if key.partition(".")[0] == app]
