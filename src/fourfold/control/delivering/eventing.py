"""Events on their way to services, and runs of jobs: its parts, wired once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from fourfold.clock import Clock
from fourfold.control.bus import Bus
from fourfold.control.delivering.delivery import Delivery, Invokes
from fourfold.control.delivering.dispatch import END_SECONDS, Dispatcher
from fourfold.control.delivering.givenup import GivenUp
from fourfold.control.delivering.jobs import Jobs
from fourfold.control.delivering.line import Holds
from fourfold.control.delivering.policy import policy_of
from fourfold.control.delivering.queue import Queue
from fourfold.control.executor import Effects, Executor
from fourfold.control.registry import Registry
from fourfold.control.triggers.aws import Aws
from fourfold.control.triggers.run import Triggers
from fourfold.control.triggers.schedule import Schedules
from fourfold.control.triggers.source import Maker
from fourfold.store.tables.queue import Waiting


class Eventing:
    def __init__(
        self,
        registry: Registry,
        executor: Executor,
        bus: Bus,
        clock: Clock,
        act: Callable[[Effects], Awaitable[None]],
        invoking: Invokes,
        aws: Aws,
        makers: Mapping[str, Maker],
    ) -> None:
        self._registry = registry
        self.jobs = Jobs(registry, executor, bus, clock, act, self._run_ended)
        self.delivery = Delivery(registry, invoking, self.jobs, aws)
        self.queue = Queue(registry, clock)
        self.dispatcher = Dispatcher(
            self.queue, bus, clock, self.delivery.of_queue, lambda line: policy_of(registry, line), self._holds
        )
        self.given_up = GivenUp(registry, self.queue)
        self.schedules = Schedules(registry.store.trigger_states, self.queue, self.jobs, bus, clock)
        self.triggers = Triggers(registry, bus, clock, self.queue, self.delivery, self.schedules, makers)

    def _run_ended(self) -> None:
        self.dispatcher.wake()

    def _holds(self, waiting: Waiting) -> Holds:
        """A run of a job comes after the one before it in its lane has ended."""
        if not self.jobs.has_room(waiting.line):
            return "service"
        return "" if self.jobs.has_room(waiting.line, waiting.lane) else "lane"

    def wake(self) -> None:
        """Rows of services, deployments or instances have changed."""
        self.jobs.wake()
        self.dispatcher.wake()
        self.triggers.wake()

    def move(self, by: float) -> None:
        """The machine's clock was set forward by so many seconds; inside the transaction that moves all that waits."""
        self._registry.store.queue.move(by)
        self._registry.store.runs.move(by)

    def moved(self, by: float) -> None:
        """That is stored."""
        self.queue.lines.move(by)
        self.jobs.reload()
        self.wake()

    def forget(self, app: str) -> None:
        """All of an app that is purged; inside a transaction."""
        store = self._registry.store
        self.queue.forget(app)
        store.queue.remove_app(app)
        store.trigger_states.remove_app(app)
        store.runs.remove_app(app)

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.jobs.run())
            group.create_task(self.dispatcher.run())
            group.create_task(self.schedules.run())
            group.create_task(self.triggers.run())

    async def close(self, grace: float = END_SECONDS) -> None:
        await self.triggers.close()
        await self.dispatcher.close(grace)
        await self.jobs.close()
