"""How long a start takes: until the service answers well, and until what was started has all the traffic."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fourfold.clock import Clock
from fourfold.control.instances import probe
from fourfold.control.registry import Registry, key_of
from fourfold.plan.model import LEAVING
from fourfold.spec.model import Service
from fourfold.store.model import InstanceRow

LOOKS = (0.001, 0.02)
"""The shortest and the longest pause between two looks, seconds; in between a hundredth of what has passed."""
BUILDS = 0.005
"""The pause while nothing is there yet: of what comes, its row says when, and no program answers sooner."""
CONNECTS_WITHIN = 0.1
"""Seconds; on the bridge. Whoever asks before somebody is there has to ask anew."""
ANSWERS_WITHIN = 10.0


class Starts:
    """Looks at one service of an app; what is there already when it is made is old."""

    def __init__(
        self,
        registry: Registry,
        clock: Clock,
        has_started: Callable[[str], bool],
        acts_on: Callable[[str], bool],
        app: str,
        service: str,
    ) -> None:
        """`has_started`: whether a program runs, of a virtual machine; `acts_on`: whether the gateway does what a row
        says."""
        self._registry, self._clock = registry, clock
        self._has_started, self._acts_on = has_started, acts_on
        self._app, self._key = app, f"{app}.{service}"
        self._old = {row.id for row in self._rows()}
        self.begun_at: float | None = None
        """Epoch seconds: of the first that was started for it; of a group that starts too, its host."""
        self.answered_at: float | None = None
        self.took_over_at: float | None = None
        """All requests go to what was started since."""

    @property
    def start_seconds(self) -> float | None:
        if self.answered_at is None or self.begun_at is None:
            return None
        return self.answered_at - self.begun_at

    async def watch(self) -> None:
        """Until it has taken over, however long that takes. What has no port answers nobody."""
        while self.took_over_at is None:
            new = [row for row in self._rows() if row.id not in self._old]
            if self.begun_at is None and new:
                self.begun_at = new[0].created_at
            mine = [row for row in new if key_of(row) == self._key and row.role == "serve"]
            if self.answered_at is None and mine and await self._answers(mine[-1]):
                self.answered_at = self._clock.now()
            if self._has_taken_over(mine):
                self.took_over_at = self._clock.now()
                if self.answered_at is None and await self._answers(mine[-1]):
                    self.answered_at = self._clock.now()
            await asyncio.sleep(self._pause())

    def _pause(self) -> float:
        if self.begun_at is None:
            return BUILDS
        return min(max((self._clock.now() - self.begun_at) / 100, LOOKS[0]), LOOKS[1])

    def _rows(self) -> list[InstanceRow]:
        found = [row for row in self._registry.instances.values() if row.app == self._app]
        return sorted(found, key=lambda row: row.created_at)

    async def _answers(self, row: InstanceRow) -> bool:
        """Well, if the service says how to ask it so; else anything."""
        if row.port is None or row.pid is None or not self._has_started(row.id):
            return False
        host, port = row.reached_at, row.port
        if row.address is not None and await probe.tcp(host, port, CONNECTS_WITHIN) is not None:
            return False
        spec = self._spec(row)
        if spec.health is not None and spec.health.path is not None:
            return await probe.http(host, port, spec.health.path, ANSWERS_WITHIN, spec.called) is None
        return await probe.speaks(host, port, ANSWERS_WITHIN, http=True, called=spec.called) is None

    def _has_taken_over(self, mine: list[InstanceRow]) -> bool:
        old = [row for row in self._registry.of_service(self._key) if row.id in self._old and row.state != "exited"]
        return all(row.state in LEAVING and self._acts_on(row.id) for row in old) and any(
            row.state == "ready" and self._acts_on(row.id) for row in mine if row.id in self._registry.instances
        )

    def _spec(self, row: InstanceRow) -> Service:
        return self._registry.spec(key_of(row), row.release)
