"""The loop: observe, plan, act, record. It runs when something changed or a deadline has come, never by itself."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from fourfold.clock import Clock
from fourfold.control.executor import Effects, Executor
from fourfold.control.goals import Goals, instance
from fourfold.control.loops import AGAIN_SECONDS, keep, rest
from fourfold.control.registry import Registry, key_of
from fourfold.plan.model import Instance, Plan
from fourfold.plan.parts import Memory
from fourfold.plan.planner import plan
from fourfold.store.model import InstanceRow

log = logging.getLogger(__name__)

ROUNDS = 100
"""Plans in a row without pause; more would mean that two rules undo each other."""


class Traffic(Protocol):
    """What the loop needs of the gateway."""

    def sync(self) -> None:
        """Instances have changed: bring the gateway there, soon."""
        ...

    def in_flight(self, name: str) -> int:
        """Requests that a draining instance still answers; more than 0 while that is unknown."""
        ...

    def acts_on(self, name: str) -> bool:
        """Whether the gateway does what an instance's state says: sends it requests, or sends no more."""
        ...


class Reconciler:
    def __init__(
        self,
        registry: Registry,
        executor: Executor,
        traffic: Traffic,
        clock: Clock,
        act: Callable[[Effects], Awaitable[None]],
        waits: Callable[[str, str], None],
    ) -> None:
        """`act` has the effects; `waits(service, what for)` hears when a service begins to wait for something else."""
        self._registry = registry
        self._goals = Goals(registry)
        self._executor = executor
        self._traffic = traffic
        self._clock = clock
        self._act = act
        self._waits = waits
        self._changed = asyncio.Event()
        self._memory = Memory()
        self._took = 0.0
        """Seconds, the last plan."""
        self.waiting: dict[str, str] = {}
        """Service -> what it waits for, as of the last plan."""

    def wake(self) -> None:
        self._changed.set()

    async def run(self) -> None:
        await keep("instances", self._converge, self._changed, self._clock)

    async def _converge(self) -> float | None:
        wake_at = await self.converge()
        await asyncio.sleep(rest(self._took))
        return wake_at

    async def converge(self) -> float | None:
        """Plan and act until the planner has nothing to add; when to look again."""
        self._traffic.sync()
        for _ in range(ROUNDS):
            began = time.monotonic()
            decided = self._plan()
            self._took = time.monotonic() - began
            self._take_note(dict(decided.waiting))
            if not decided.actions:
                return decided.wake_at
            log.debug("plan: %s", decided.actions)
            effects = self._executor.execute(decided.actions)
            self._traffic.sync()
            await self._act(effects)
        log.error("the plan does not come to rest: %s", decided.actions)
        return self._clock.now() + AGAIN_SECONDS

    def _take_note(self, waiting: dict[str, str]) -> None:
        for key, what in waiting.items():
            if self.waiting.get(key) != what:
                self._waits(key, what)
        self.waiting = waiting

    def _plan(self) -> Plan:
        registry = self._registry
        rows = ((name, row) for name, row in registry.instances.items() if row.role != "run" or self._leaves(row))
        observed = (self._observed(name, row) for name, row in rows)
        return plan(self._goals.now(), observed, self._clock.now(), self._memory)

    def _leaves(self, run: InstanceRow) -> bool:
        """Whether a run of a job is to end with its service; else it is no affair of the planner's."""
        row = self._registry.services.get(key_of(run))
        return row is None or row.stopped or row.removed

    def _observed(self, name: str, row: InstanceRow) -> Instance:
        in_flight = self._traffic.in_flight(name) if row.state == "draining" else 0
        routed = row.state not in ("ready", "draining") or self._traffic.acts_on(name)
        return instance(row, self._registry.live[name], in_flight, routed)
