"""What a candidate takes: CPU and processes of all its instances together, with the host that a group's members are in.

A member in the process of its host is not to be told from it, and a candidate has a host of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fourfold.control.goals import GATEWAY
from fourfold.control.registry import Registry
from fourfold.plan.model import LEAVING
from fourfold.store.model import InstanceRow
from fourfold.supervise.supervisor import Supervisor

Cpu = Mapping[tuple[str, int], float]
"""(Instance, run) -> CPU seconds that it has taken."""


class Takings:
    def __init__(self, registry: Registry, supervisor: Supervisor) -> None:
        self._registry = registry
        self._supervisor = supervisor

    def rows(self, app: str) -> list[InstanceRow]:
        """Of all its services, dead ones excepted."""
        return [row for row in self._registry.instances.values() if row.app == app and row.state != "exited"]

    def is_settled(self, app: str) -> bool:
        """Nothing of it comes or goes."""
        return all(row.state not in ("starting", *LEAVING) for row in self.rows(app))

    def pids(self, app: str) -> set[int]:
        return {pid for row in self.rows(app) for pid in self._supervisor.pids(row.id)}

    def cpu(self, app: str) -> Cpu:
        return self._cpu(self.rows(app))

    def gateway_cpu(self) -> Cpu:
        return self._cpu(self._registry.of_service(GATEWAY))

    def _cpu(self, rows: Iterable[InstanceRow]) -> Cpu:
        found: dict[tuple[str, int], float] = {}
        for row in rows:
            taken = self._supervisor.counters(row.id) if row.host is None else None
            if taken is not None and taken.cpu_seconds is not None:
                found[row.id, row.run] = taken.cpu_seconds
        return found


def between(before: Cpu, after: Cpu) -> float:
    """CPU seconds, of those that were there at both times."""
    return sum(max(0.0, seconds - before[key]) for key, seconds in after.items() if key in before)
