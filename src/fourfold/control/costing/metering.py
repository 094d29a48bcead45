"""Records what services take and answer, by hour and pattern: looks at all instances each minute, and as they end.

Marks and hours are stored together, and with the end of an instance what it took until then: whenever the daemon dies,
the next one counts on from there, with what happened meanwhile. Events that services other than functions are given
past the gateway are known to this daemon alone: one that is killed takes those since the last look with it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace

from fourfold.clock import Clock
from fourfold.control.costing.metered import Key, Part, Seen, begun, in_hours, put_down, reckon, taken
from fourfold.control.goals import SYSTEM
from fourfold.control.registry import Registry
from fourfold.errors import FourfoldError
from fourfold.gateway.haproxy import Gateway
from fourfold.gateway.model import InstanceStats
from fourfold.store.model import InstanceRow, UsageMark
from fourfold.supervise.cgroups.counters import Counters
from fourfold.supervise.hosts.hosted import Hosted
from fourfold.supervise.model import Exit

log = logging.getLogger(__name__)

EVERY_SECONDS = 60.0
AT_ONCE = 20
"""Instances that are looked at before others have their turn: a few milliseconds."""


class Metering:
    def __init__(
        self,
        registry: Registry,
        counters: Callable[[str], Counters | None],
        hosted: Callable[[Iterable[str]], Awaitable[Mapping[str, Hosted]]],
        gateway: Gateway,
        clock: Clock,
    ) -> None:
        """`counters`: of what has processes of its own; `hosted(hosts)`: what those say of their guests."""
        self._registry = registry
        self._counters = counters
        self._hosted = hosted
        self._gateway = gateway
        self._clock = clock
        self._one = asyncio.Lock()
        self._events: dict[Key, Part] = {}

    async def run(self) -> None:
        """Until cancelled. One look falls on the end of each hour, so that what is in it was taken in it."""
        while True:
            await asyncio.sleep(EVERY_SECONDS - self._clock.now() % EVERY_SECONDS)
            try:
                await self.look()
            except FourfoldError as error:
                log.error("%s", error)
            except Exception:  # what is not counted now is with the next look
                log.exception("a fault while usage was recorded")

    async def look(self) -> None:
        """Count everything up to now. WorldError: it cannot be stored."""
        async with self._one:
            served = await self._answered()
            seen = await self._see()
            self._store(seen, served)  # from here on nothing else happens

    async def _answered(self) -> Mapping[str, InstanceStats]:
        try:
            return await self._gateway.answered()
        except FourfoldError as error:
            log.debug("%s", error)  # counted with the next look
            return {}

    async def _see(self) -> list[Seen]:
        rows = [row for row in self._registry.instances.values() if _runs(row) and self._counts(row)]
        hosted = await self._hosted({row.host for row in rows if row.host is not None})
        seen = []
        for number, row in enumerate(rows, 1):
            seen.append(self._seen(row, hosted.get(row.id)))
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)
        return seen

    def _seen(self, row: InstanceRow, hosted: Hosted | None = None) -> Seen:
        found = self._counters(row.id) or Counters(
            *((hosted.cpu_seconds, hosted.memory_bytes) if hosted is not None else ())
        )
        return self._named(row, found)

    def _named(self, row: InstanceRow, found: Counters) -> Seen:
        since = self._clock.now() if row.started_at is None else row.started_at
        is_host = row.pattern == "group"
        return Seen(
            row.id, row.app, row.service, row.pattern, row.run, since, row.host, is_host,
            found.cpu_seconds, found.memory_bytes,
        )  # fmt: skip

    def _store(self, seen: Iterable[Seen], served: Mapping[str, InstanceStats]) -> None:
        usage, instances, now = self._registry.store.usage, self._registry.instances, self._clock.now()
        still = [each for each in seen if each.instance in instances and _is_of(instances[each.instance], each)]
        marks = usage.marks()
        there = instances.keys() | self._gateway.last_served.keys()
        found = reckon(now, marks, still, served, there)
        events = dict(self._events)
        for key, part in events.items():
            found.hours += in_hours(key, part, now, now)
        with self._registry.transaction():
            for row in found.hours:
                usage.add(row)
            for name, mark in found.marks.items():
                if marks.get(name) != mark:
                    usage.put_mark(mark)
            for name in marks.keys() - found.marks.keys():
                usage.remove_mark(name)
        for key in events:
            del self._events[key]
        self._gateway.keep(found.marks.keys() | instances.keys())

    # -- what happens between two looks ------------------------------------------------------------------------------

    def ended(self, row: InstanceRow, exit: Exit) -> None:
        """What it has taken since the last look; inside the transaction that stores its end."""
        if not self._counts(row) or row.started_at is None:
            return
        usage = self._registry.store.usage
        seen = self._named(row, Counters(memory_bytes=exit.memory_bytes))  # for who was never looked at
        mark = usage.mark(row.id)
        if mark is None or mark.run != row.run:
            mark = begun(seen, mark)
        known = mark.at if row.host is None else self._clock.now()  # hosts do not say when
        at = min(max(exit.at or known, mark.at), self._clock.now())  # the spawner's clock may have been set already
        after, part = taken(mark, at, exit.cpu_seconds, None)
        usage.put_mark(replace(after, ended=True))
        if row.role == "run":  # of a job: what a request is to others
            part += Part(1, int(exit.code != 0), max(0.0, after.at - row.started_at))
        if seen.is_host:
            marks, parts = usage.marks(), dict[str, Part]()
            put_down(mark, part, marks, parts)
            for name, share in parts.items():
                self._add(marks[name], share, mark.at, after.at)
        else:
            self._add(after, part, mark.at, after.at)

    def _add(self, mark: UsageMark, part: Part, start: float, end: float) -> None:
        for hour in in_hours((mark.app, mark.service, mark.pattern), part, start, end):
            self._registry.store.usage.add(hour)

    def answered(self, row: InstanceRow, failed: bool, seconds: float) -> None:
        """It was given an event past the gateway."""
        if self._counts(row):
            key = row.app, row.service, row.pattern
            self._events[key] = self._events.get(key, Part()) + Part(1, int(failed), seconds)

    def forget(self, app: str) -> None:
        """All of an app that is purged; inside a transaction."""
        self._registry.store.usage.remove_app(app)
        for key in [key for key in self._events if key[0] == app]:
            del self._events[key]

    def _counts(self, row: InstanceRow) -> bool:
        """Not what a comparison has run beside the live service."""
        app = self._registry.apps.get(row.app)
        return row.app != SYSTEM and (app is None or app.candidate_of is None)


def _runs(row: InstanceRow) -> bool:
    return row.pid is not None and row.state != "exited"


def _is_of(row: InstanceRow, seen: Seen) -> bool:
    """Whether it has not ended, nor been started again, since it was looked at."""
    return _runs(row) and row.run == seen.run
