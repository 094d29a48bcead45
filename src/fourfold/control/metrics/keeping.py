"""Keeps the counters of `GET /metrics`: follows events and the access log; stores what it counted with up to where.

Both are stored in one transaction now and then: a daemon that is killed in between counts again what came since, from
where it had stored, and nothing twice.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from fourfold.control.bus import Bus
from fourfold.control.comparing.left import is_candidate
from fourfold.control.goals import GATEWAY
from fourfold.control.metrics import accesslog
from fourfold.control.metrics import catalog as c
from fourfold.control.metrics.accesslog import Place
from fourfold.control.metrics.tally import Tally
from fourfold.control.registry import Registry
from fourfold.errors import FourfoldError
from fourfold.paths import Paths

log = logging.getLogger(__name__)

EVERY_SECONDS = 1.0
"""Of a log, what a gateway writes in that time is far less than what is kept."""
STORED_SECONDS = 5.0


@dataclass(frozen=True)
class _Reached:
    seq: int = 0
    """Of the last event."""
    place: Place | None = None
    """In the access log."""


class Keeping:
    def __init__(
        self, paths: Paths, registry: Registry, bus: Bus, routes: Callable[[], Mapping[str, tuple[str, str]]]
    ) -> None:
        """`routes`: of each of HAProxy's backends its service and route."""
        self._paths = paths
        self._registry = registry
        self._bus = bus
        self._routes = routes
        self._store = registry.store.metrics
        self.tally = Tally(self._store.all(), lambda app: is_candidate(app, registry.apps))
        self.own = Tally()
        """Of this daemon: they begin at 0 with it."""
        self._reached = self._stored = _reached(self._store.place())
        self._stored_at = 0.0
        self._one = asyncio.Lock()
        registry.store.database.around_commit = self._committing

    async def run(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + EVERY_SECONDS
            await asyncio.sleep(EVERY_SECONDS)
            self.own.observe(c.LAG, value=max(loop.time() - due, 0.0))
            try:
                await self.look()
                if loop.time() - self._stored_at >= STORED_SECONDS:
                    self._stored_at = loop.time()
                    self.store()
            except FourfoldError as error:
                log.error("%s", error)  # it is stored with the next
            except Exception:
                log.exception("a fault while metrics were counted")

    async def look(self) -> None:
        """Count what has come since the last look."""
        async with self._one:
            self._hear()
            rows = self._registry.of_service(GATEWAY)
            present = Place(rows[-1].id, rows[-1].run) if rows and rows[-1].run else None
            if not accesslog.has_grown(self._paths, self._reached.place, present):
                return
            read = await asyncio.to_thread(accesslog.read, self._paths, self._reached.place, present)
            if read.lines:
                self.tally.answered(read.lines, self._routes())
            if read.skipped:
                self.tally.add(c.SKIPPED, by=read.skipped)
            self._reached = _Reached(self._reached.seq, read.place)

    def _hear(self) -> None:
        if self._bus.last == self._reached.seq:
            return
        for event in self._bus.since(self._reached.seq):
            self.tally.heard(event)
            self._reached = _Reached(event.seq, self._reached.place)

    def store(self) -> None:
        """All that was counted since the last time. WorldError: it is still to be stored."""
        tally = self.tally
        tally.keep_instances(self._registry.instances)
        if not (tally.changed or tally.gone) and self._reached == self._stored:
            return
        self._store.store([tally.row(key) for key in tally.changed], tally.gone, json.dumps(asdict(self._reached)))
        tally.changed.clear()
        tally.gone.clear()
        self._stored = self._reached

    async def close(self) -> None:
        try:
            await self.look()
            self.store()
        except FourfoldError as error:
            log.error("%s", error)  # the next daemon counts it again

    @contextmanager
    def _committing(self) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        self.own.observe(c.COMMITS, value=time.perf_counter() - begun)


def _reached(stored: str) -> _Reached:
    try:
        facts = json.loads(stored)
        return _Reached(int(facts["seq"]), Place(**facts["place"]) if facts["place"] else None)
    except (ValueError, TypeError, LookupError):
        return _Reached()
