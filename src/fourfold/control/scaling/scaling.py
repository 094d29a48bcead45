"""Gives services whose file has `instances` as a map as many as their load asks for.

Looks at all of them each interval, and in between at what is in flight. The count is in the service's row, and the
planner goes there as it does when an instance died: there is no deployment. What was seen is this daemon's alone; the
next one keeps the count, and takes nothing away before it has seen a whole window.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from fourfold.clock import Clock
from fourfold.control.bus import Bus
from fourfold.control.goals import count_of
from fourfold.control.registry import Registry, key_of
from fourfold.control.scaling.counting import bounds_of, is_scaled
from fourfold.control.scaling.loads import Look, coming, loads, warm
from fourfold.errors import FourfoldError
from fourfold.gateway.haproxy import Gateway
from fourfold.plan.scaling import POOLS, Bounds, Decision, Sample, decide
from fourfold.store.model import InstanceRow, ServiceRow
from fourfold.supervise.cgroups.counters import Counters

log = logging.getLogger(__name__)

GLANCES = 5
"""How often it looks at what is in flight in an interval."""
LATE = 3
"""A look so many intervals after the one before says nothing of now: the daemon was held up."""


@dataclass
class Watched:
    """What is known of one service."""

    bounds: Bounds
    samples: deque[Sample] = field(default_factory=deque)
    look: Look | None = None
    in_flight: list[int] = field(default_factory=list)
    last: tuple[float, Decision] | None = None
    """When, and what was decided."""


class Scaler:
    def __init__(
        self,
        registry: Registry,
        counters: Callable[[str], Counters | None],
        gateway: Gateway,
        bus: Bus,
        clock: Clock,
        wake: Callable[[], None],
        interval: float,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        """`counters`: of what has processes of its own; `interval`: seconds from one look to the next; `steady`: counts
        seconds from anywhere, for what happened between two looks: nobody sets it."""
        self._registry = registry
        self._counters = counters
        self._gateway = gateway
        self._bus = bus
        self._clock = clock
        self._wake = wake
        self.interval = interval
        self._steady = steady
        self._watched: dict[str, Watched] = {}

    async def run(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due = max(due + self.interval, loop.time())
            try:
                await self._wait(due)
                await self.look()
            except FourfoldError as error:
                log.error("services are not scaled by their load: %s", error)
            except Exception:
                log.exception("a fault while services were scaled by their load")

    async def _wait(self, due: float) -> None:
        loop = asyncio.get_running_loop()
        while (left := due - loop.time()) > 0:
            asks = any("concurrency" in each.bounds.targets for each in self._watched.values())
            await asyncio.sleep(min(left, self.interval / GLANCES) if asks else left)
            await self.glance()

    def last(self, row: ServiceRow) -> tuple[float, Decision] | None:
        """When it was looked at last, and what was decided; None while its load has no say."""
        watched = self._watched.get(key_of(row)) if is_scaled(row) else None
        return watched.last if watched is not None else None

    async def glance(self) -> None:
        """At what is in flight, over all workers of the gateway: there it is, and then it is gone."""
        asking = {key: each for key, each in self._watched.items() if "concurrency" in each.bounds.targets}
        if not asking:
            return
        try:
            counts = await self._gateway.in_flight()
        except FourfoldError as error:
            log.debug("%s", error)
            return
        for key, watched in asking.items():
            rows = self._rows(key)
            watched.in_flight.append(sum(counts.get(row.id, 0) for row in rows))

    async def look(self) -> None:
        """At all that are to be scaled, and scale them. WorldError: it cannot be stored."""
        scaled = {key: row for key, row in self._registry.services.items() if is_scaled(row)}
        for key in self._watched.keys() - scaled.keys():
            del self._watched[key]
        if not scaled:
            return
        for key, row in scaled.items():
            bounds = bounds_of(row.scaling or {})
            watched = self._watched.setdefault(key, Watched(bounds))
            watched.bounds = bounds
        requests = await self._asked()
        for key, watched in self._watched.items():
            present = self._registry.services.get(key)
            if present is not None and is_scaled(present):
                at = self._steady()
                self._see(key, watched, requests, at)
                self._follow(present, watched, at)
            await asyncio.sleep(0)

    async def _asked(self) -> Mapping[str, int] | None:
        """Of each instance, all requests that it was given: HAProxy counts those that were answered, and a service that
        cannot answer as many as it is given has more and more in flight. None: HAProxy has not told anything new.
        """
        if not any("rps" in each.bounds.targets for each in self._watched.values()):
            return None
        before = self._gateway.readings
        try:
            found = await self._gateway.answered()
        except FourfoldError as error:
            log.debug("%s", error)
            return None
        if self._gateway.readings == before:
            return None
        return {name: each.requests + each.in_flight for name, each in found.items()}

    def _rows(self, key: str) -> list[InstanceRow]:
        return [row for row in self._registry.of_service(key) if row.role == "serve"]

    def _see(self, key: str, watched: Watched, requests: Mapping[str, int] | None, at: float) -> None:
        rows = self._rows(key)
        judged = warm(rows, self._clock.now(), self.interval) if "cpu" in watched.bounds.targets else []
        before = watched.look
        known = {row.id for row in rows} | ((before.requests or {}).keys() if before is not None else set())
        asked = {name: requests[name] for name in known & requests.keys()} if requests is not None else None
        watched.look = look = Look(at, asked, self._taken(judged), tuple(watched.in_flight))
        watched.in_flight.clear()
        if before is None or not 0 < at - before.at < LATE * self.interval:
            watched.samples.clear()
            return
        ready = sum(row.state == "ready" for row in rows)
        counted = len((before.cpu or {}).keys() & (look.cpu or {}).keys())
        watched.samples.append(Sample(at, ready, loads(before, look), coming(rows, counted)))
        oldest = at - max(watched.bounds.up, watched.bounds.down)
        while len(watched.samples) > POOLS[-1] and watched.samples[1].at <= oldest:
            watched.samples.popleft()

    def _taken(self, rows: Iterable[InstanceRow]) -> dict[tuple[str, int], float] | None:
        found = {}
        for row in rows:
            counted = self._counters(row.id)
            if counted is None or counted.cpu_seconds is None:
                return None
            found[row.id, row.run] = counted.cpu_seconds
        return found

    def _follow(self, row: ServiceRow, watched: Watched, at: float) -> None:
        current, now = count_of(row), self._clock.now()
        decided = decide(watched.bounds, list(watched.samples), current, at)
        watched.last = now, decided
        if decided.count == current:
            return
        new = replace(row, scaled=decided.count, scaled_at=now, scaled_why=decided.reason)
        what = f"{row.name} goes from {current} to {decided.count} instances: {decided.reason}"
        with self._bus.whole(), self._registry.transaction():
            self._registry.put_service(new)
            self._bus.emit(
                "service.scaled", what, app=row.app, service=row.name,
                before=current, instances=decided.count, reason=decided.reason,
            )  # fmt: skip
        self._wake()
