"""Keeps one source per trigger of every service that is live, and tells the schedules which there are."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from fourfold.clock import Clock
from fourfold.control.bus import Bus
from fourfold.control.delivering.delivery import Delivery, environ
from fourfold.control.delivering.policy import live_release
from fourfold.control.delivering.queue import Queue
from fourfold.control.registry import Registry
from fourfold.control.triggers.schedule import Entry, Schedules
from fourfold.control.triggers.schedule import Key as Key
from fourfold.control.triggers.source import Maker, Site, State, identities, kind_of
from fourfold.errors import FourfoldError
from fourfold.functions.model import Answer
from fourfold.spec.model import Service
from fourfold.spec.triggers import Trigger

log = logging.getLogger(__name__)

PAUSES = (1.0, 60.0)
"""Seconds before a source that failed is started again: the first wait, doubled up to the longest."""
WELL_SECONDS = 300.0
"""One that ran this long has been well: the next wait is the first again."""
GATHER_SECONDS = 0.05
"""Changes that come together are looked at once."""


@dataclass(frozen=True)
class Wanted:
    """What makes a source another one: it is then ended, and made anew."""

    trigger: Trigger
    spec: Service
    release: int
    secrets: str
    """Digest of the values that its service was deployed with."""


class Triggers:
    def __init__(
        self,
        registry: Registry,
        bus: Bus,
        clock: Clock,
        queue: Queue,
        delivery: Delivery,
        schedules: Schedules,
        makers: Mapping[str, Maker],
    ) -> None:
        self._registry = registry
        self._bus = bus
        self._clock = clock
        self._queue = queue
        self._delivery = delivery
        self._schedules = schedules
        self._makers = makers
        self._sources: dict[Key, tuple[Wanted, asyncio.Task[None]]] = {}
        self._seen: dict[str, tuple[object, object, list[tuple[Key, Wanted]]]] = {}
        self._news = asyncio.Event()

    def wake(self) -> None:
        """Rows have changed."""
        self._news.set()

    async def run(self) -> None:
        """Until cancelled."""
        first = True
        while True:
            self._news.clear()
            try:
                await self.converge()
                if first:
                    self._schedules.forget_others()
                    first = False
            except Exception as error:  # a mistake of ours must not leave all triggers as they are
                if isinstance(error, FourfoldError):
                    log.error("%s", error)
                else:
                    log.exception("a fault in the loop of triggers")
                self._news.set()
                await asyncio.sleep(PAUSES[0])
            await self._news.wait()
            await asyncio.sleep(GATHER_SECONDS)

    async def converge(self) -> None:
        """Start and end sources until they are those of the live services."""
        wanted = dict(each for found in self._wanted() for each in found)
        schedules = {key: each for key, each in wanted.items() if each.trigger.schedule is not None}
        others = {key: each for key, each in wanted.items() if key not in schedules}
        gone = [key for key, (known, _) in self._sources.items() if others.get(key) != known]
        await self._end(gone)
        self._schedules.keep(
            {key: Entry(each.trigger.schedule, each.spec.function.max_age) for key, each in schedules.items()
             if each.trigger.schedule is not None}
        )  # fmt: skip
        for key, each in others.items():
            if key not in self._sources:
                self._sources[key] = (each, asyncio.create_task(self._keep(key, each)))

    def _wanted(self) -> list[list[tuple[Key, Wanted]]]:
        """Made anew only for services whose rows are others than at the last look."""
        seen = {}
        for key, row in self._registry.services.items():
            deployment, known = self._registry.deployments.get(key), self._seen.get(key)
            if known is not None and known[0] is row and known[1] is deployment:
                seen[key] = known
                continue
            seen[key] = (row, deployment, self._of(key))
        self._seen = seen
        return [found for _, _, found in seen.values()]

    def _of(self, key: str) -> list[tuple[Key, Wanted]]:
        row = self._registry.services[key]
        release = live_release(self._registry, row)
        if release is None:
            return []
        spec = self._registry.spec(key, release)
        names = identities(spec.triggers)
        return [
            ((row.app, row.name, name), Wanted(trigger, spec, release, row.secrets_digest))
            for name, trigger in zip(names, spec.triggers, strict=True)
        ]

    # -- sources --------------------------------------------------------------------------------------------------

    async def _keep(self, key: Key, wanted: Wanted) -> None:
        """Run a source, and again after it failed."""
        kind = kind_of(wanted.trigger)
        loop = asyncio.get_running_loop()
        pause = PAUSES[0]
        while True:
            began = loop.time()
            try:
                maker = self._makers.get(kind)
                if maker is None:
                    why = f"this version has no source of kind {kind}"
                else:
                    await maker(self._site(key, wanted)).run()
                    why = "it ended"
            except FourfoldError as error:
                why = str(error)
            except Exception as error:
                log.exception("a source of %s.%s failed", key[0], key[1])
                why = f"{type(error).__name__}: {error}"
            if loop.time() - began > WELL_SECONDS:
                pause = PAUSES[0]
            self._tell(key, "trigger.failed", f"the trigger {kind} failed: {why}; it is started again")
            await asyncio.sleep(pause)
            pause = min(pause * 2, PAUSES[1])

    def _site(self, key: Key, wanted: Wanted) -> Site:
        app, service, trigger = key
        kind = kind_of(wanted.trigger)

        async def enqueue(event: bytes, /, state: Mapping[str, str] | None = None) -> str:
            return await self._queue.enqueue(app, service, event, source=kind, trigger=trigger, state=state)

        async def deliver(event: bytes, /) -> Answer:
            return await self._delivery.at_once(app, service, event, source=kind, trigger=trigger)

        return Site(
            app=app,
            service=service,
            trigger=trigger,
            spec=wanted.trigger,
            of=wanted.spec,
            environ=partial(environ, self._registry, app, service),
            state=State(self._registry.store.trigger_states, app, service, trigger),
            deliver=deliver,
            enqueue=enqueue,
            tell=partial(self._queue.tell, app, service),
            emit=lambda what, message: self._tell(key, what, message),
            clock=self._clock,
        )

    def _tell(self, key: Key, kind: str, message: str) -> None:
        self._bus.emit(kind, message, app=key[0], service=key[1], trigger=key[2])

    async def _end(self, keys: list[Key]) -> None:
        tasks = [self._sources.pop(key)[1] for key in keys]
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task

    async def close(self) -> None:
        await self._end(list(self._sources))
