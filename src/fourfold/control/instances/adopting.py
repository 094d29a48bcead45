"""After a restart of the daemon or of the machine: rows are matched with what really runs."""

from __future__ import annotations

import logging
from dataclasses import replace

from fourfold.clock import Clock
from fourfold.control.executor import Effects, Executor
from fourfold.control.instances.lifecycle import Lifecycle, identified
from fourfold.control.registry import Registry
from fourfold.store.model import InstanceRow
from fourfold.store.tables.deployments import OPEN
from fourfold.supervise.supervisor import Supervisor

log = logging.getLogger(__name__)

TIMES = ("started_at", "progressed_at", "finished_at", "step_at")
"""Of a deployment."""


class Adopting:
    def __init__(
        self, registry: Registry, executor: Executor, supervisor: Supervisor, lifecycle: Lifecycle, clock: Clock
    ) -> None:
        self._registry = registry
        self._executor = executor
        self._supervisor = supervisor
        self._lifecycle = lifecycle
        self._clock = clock

    async def adopt(self, boot_id: str) -> None:
        """Match rows with what really runs. Exits from while no daemon was there have been delivered before this."""
        running = self._supervisor.running()
        for name in running.keys() - self._registry.instances.keys():
            log.warning("%s runs, but nobody asked for it: killed", name)
            await self._lifecycle.kill(name)
        unstarted, now = [], self._clock.now()
        with self._registry.transaction():
            self._begin_waiting_anew(now)
            for row in list(self._registry.instances.values()):
                if row.id in running:
                    self._registry.put_instance(identified(row, running[row.id]))
                elif row.state == "starting" and row.pid is None:
                    unstarted.append(row.id)
                elif row.state != "exited":
                    self._lost(row, rebooted=row.boot_id != boot_id)
        await self._resume(unstarted)

    def _begin_waiting_anew(self, now: float) -> None:
        """While no daemon was there nobody saw a start end; and the machine's clock may have been set."""
        for row in list(self._registry.instances.values()):
            since = now if row.state == "starting" else min(row.changed_at, now)
            ready_at = None if row.ready_at is None else min(row.ready_at, now)
            if (since, ready_at) != (row.changed_at, row.ready_at):
                self._registry.put_instance(replace(row, changed_at=since, ready_at=ready_at))
        for deployment in list(self._registry.deployments.values()):
            times = {name: min(at, now) for name in TIMES if (at := getattr(deployment, name)) is not None}
            if deployment.state in OPEN:
                times["progressed_at"] = now
            if (changed := replace(deployment, **times)) != deployment:
                self._registry.put_deployment(changed)

    async def _resume(self, unstarted: list[str]) -> None:
        """Effects that were stored and perhaps not had: have them (again)."""
        rows = list(self._registry.instances.values())
        again = Effects(starts=unstarted)
        again.signals = [row.id for row in rows if row.state == "stopping"]
        again.kills = [row.id for row in rows if row.state == "killing"]
        await self._lifecycle.act(again)
        for row in rows:
            if row.state in ("starting", "ready", "unready") and row.id not in unstarted:
                self._lifecycle.watch(row)

    def _lost(self, row: InstanceRow, rebooted: bool) -> None:
        reason = "the machine restarted" if rebooted else "exit status unknown"
        failures = 0 if rebooted else row.failures + 1
        self._executor.ended(row.id, code=None, reason=reason, rebooted=rebooted, failures=failures)
