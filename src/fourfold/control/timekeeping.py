"""The machine's clock was set: what is under way goes on as if nothing had happened, with its times moved along."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace

from fourfold.clock import SystemClock
from fourfold.control.bus import Bus
from fourfold.control.delivering.eventing import Eventing
from fourfold.control.registry import Registry
from fourfold.errors import WorldError
from fourfold.store.model import Deployment, InstanceRow

log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
LEAST = 1.0
"""Seconds by which it must have been set; what time servers correct by slowing a clock down adds up to that too."""


class Timekeeping:
    def __init__(
        self, registry: Registry, events: Eventing, clock: SystemClock, bus: Bus, changed: Callable[[], None]
    ) -> None:
        self._registry = registry
        self._events = events
        self._clock = clock
        self._bus = bus
        self._changed = changed

    async def run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                self.look()
            except WorldError as error:
                log.error("%s", error)

    def look(self) -> None:
        """Follow the machine's clock, and move the times of all that is under way by as much: durations stay right."""
        by = self._clock.set_by()
        if abs(by) < LEAST:
            return
        registry = self._registry
        self._events.queue.flush()  # what has its times already
        with registry.transaction():
            for row in list(registry.instances.values()):
                registry.put_instance(_moved(row, by))
            for deployment in list(registry.deployments.values()):
                registry.put_deployment(_later(deployment, by))
            for mark in registry.store.usage.marks().values():
                registry.store.usage.put_mark(replace(mark, at=mark.at + by))
            self._events.move(by)
        self._clock.follow()
        self._events.moved(by)
        way = "forward" if by > 0 else "back"
        self._bus.emit("daemon.clock-set", f"the machine's clock was set {way} by {abs(by):.0f} s", seconds=by)
        self._changed()


def _moved(row: InstanceRow, by: float) -> InstanceRow:
    return replace(
        row,
        created_at=row.created_at + by,
        changed_at=row.changed_at + by,
        started_at=None if row.started_at is None else row.started_at + by,
        ready_at=None if row.ready_at is None else row.ready_at + by,
    )


def _later(row: Deployment, by: float) -> Deployment:
    """Of one that has ended it matters how long ago that was, to those that depend on it."""
    return replace(
        row,
        started_at=row.started_at + by,
        progressed_at=row.progressed_at + by,
        finished_at=None if row.finished_at is None else row.finished_at + by,
        step_at=None if row.step_at is None else row.step_at + by,
    )
