"""What releases that are deployed in steps answer meanwhile: read, told, and given to the planner."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from fourfold.clock import Clock
from fourfold.control.bus import Bus
from fourfold.control.deploying import stages, stagewords
from fourfold.control.goals import rollout_of
from fourfold.control.registry import Registry
from fourfold.errors import FourfoldError
from fourfold.gateway.model import InstanceStats
from fourfold.plan import model as m
from fourfold.store.model import Deployment

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
"""A release that fails is found out within that, and what it answered until then is all that it ever gets."""
TELL_SECONDS = 10.0
"""Between two events of what it has answered."""


class Canaries:
    """`served`: what instances have answered over the gateway, ever; `events`: requests and errors of those that did
    not come that way; `changed`: called when it is something else."""

    def __init__(
        self,
        registry: Registry,
        served: Callable[[], Awaitable[Mapping[str, InstanceStats]]],
        bus: Bus,
        clock: Clock,
        changed: Callable[[], None],
        events: Callable[[], stages.Answers] = dict,
    ) -> None:
        self._registry = registry
        self._served = served
        self._bus = bus
        self._clock = clock
        self._changed = changed
        self._events = events
        self._wanted = asyncio.Event()
        self._told: dict[tuple[int, int], tuple[float, int]] = {}
        """(deployment, step) -> when it was told last, and requests until then."""
        self._forgotten: stages.Answers | None = None
        """See `stages.forgotten`; None: nothing was looked at yet."""

    def wake(self) -> None:
        """A deployment may have begun."""
        self._wanted.set()

    async def run(self) -> None:
        while True:
            try:
                await self.look()
            except FourfoldError as error:
                log.debug("%s", error)
            except Exception:
                log.exception("a fault while deployments with steps were looked at")
            if self._under_way():
                await asyncio.sleep(LOOK_SECONDS)
            else:
                self._wanted.clear()
                await self._wanted.wait()

    def _under_way(self) -> dict[str, Deployment]:
        rows = self._registry.deployments.items()
        return {key: row for key, row in rows if row.staged and row.state == "running"}

    async def look(self) -> None:
        """Once."""
        registry = self._registry
        if not self._under_way():
            registry.answers, registry.answered, self._told, self._forgotten = {}, {}, {}, {}
            return
        known = stages.added(stages.read(await self._served()), self._events())
        if self._forgotten is None:
            self._forgotten = stages.forgotten(self._under_way().values(), known)
        registry.answers = stages.added(known, self._forgotten)
        found = {}
        for key, deployment in self._under_way().items():
            if deployment.step_at is not None or deployment.step:  # or on the way to the next one
                found[key] = stages.answered(deployment, registry.of_service(key), registry.answers)
                self._tell(key, deployment, found[key])
        if found != registry.answered:
            registry.answered = found
            self._changed()

    def _tell(self, key: str, deployment: Deployment, answered: tuple[m.Answered, m.Answered]) -> None:
        now, place = self._clock.now(), (deployment.id, deployment.step)
        at, requests = self._told.setdefault(place, (now, 0))
        if deployment.step_at is None or now < at + TELL_SECONDS or answered[0].requests == requests:
            return
        self._told[place] = (now, answered[0].requests)
        how = rollout_of(self._registry, deployment)
        view = stagewords.view(deployment, how, answered, now)
        if view is not None:
            self._bus.emit(
                "deploy.progress", stagewords.progress(view), app=deployment.app, service=deployment.service,
                operation=deployment.operation, **view.model_dump(),
            )  # fmt: skip
