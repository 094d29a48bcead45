"""What this host can is found out when it is first needed: OCI runtimes, virtual machines, what these run under."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from fourfold.control.goals import SYSTEM, pattern_of, restored
from fourfold.control.registry import Registry, key_of
from fourfold.launch.model import Powers
from fourfold.launch.patterns import is_machine, needs_machines
from fourfold.spec.model import Service
from fourfold.store.files.artifacts import Artifact
from fourfold.store.files.disks import Disks
from fourfold.store.tables.deployments import OPEN
from fourfold.supervise.machines.accelerators import with_accelerator, with_machines
from fourfold.supervise.powers import with_containers
from fourfold.supervise.supervisor import Supervisor

Asked = tuple[str, Service]
"""A pattern, and the service that is to run under it."""


def asked(registry: Registry) -> list[Asked]:
    """What services run under, and may have to go back to."""
    found = [(key, row.release, pattern_of(row)) for key, row in registry.services.items()]
    running = (row for row in registry.instances.values() if row.app != SYSTEM)
    found += [(key_of(row), row.release, row.pattern) for row in running]
    for key, deployment in registry.deployments.items():
        if deployment.state in OPEN and deployment.previous and key in registry.services:
            before = restored(registry.services[key], deployment.previous)
            found.append((key, before.release, pattern_of(before)))
    return [(how, registry.spec(key, number)) for key, number, how in found]


class Trials:
    """Keeps `Supervisor.powers`. A daemon without containers tries no runtime, one without machines no QEMU."""

    def __init__(self, supervisor: Supervisor, disks: Disks, known: Path) -> None:
        """`known`: where the accelerator that was found out stands, until the next boot of this host."""
        self._supervisor = supervisor
        self._disks = disks
        self._known = known
        self._looking = asyncio.Lock()

    async def look_for(self, asked: Iterable[Asked]) -> None:
        """Have those that are needed tried, unless they are known to work."""
        wanted = list(asked)
        machines = any(needs_machines(*each) for each in wanted)
        runtimes: set[str] = {
            spec.container.runtime for how, spec in wanted if how == "container" and not is_machine(how, spec)
        }
        await self._look(runtimes, machines)

    async def look_anew(self) -> None:
        """At all, also at what once worked: programs may have gone."""
        await self._try(with_containers)
        await self._try(with_machines)

    async def settle(self, artifacts: Iterable[Artifact]) -> None:
        """Have KVM tried with what is to boot, where that is not decided yet."""
        for boot in (artifact.boot for artifact in artifacts):
            if boot is None or not self._undecided():
                continue
            kernel, initrd = self._disks.path(boot.kernel), self._disks.path(boot.initrd)
            await self._try(partial(with_accelerator, kernel=kernel, initrd=initrd, known=self._known))

    async def _look(self, runtimes: set[str], machines: bool) -> None:
        if not runtimes <= set(self._supervisor.powers.runtimes):
            await self._try(with_containers, lambda: not runtimes <= set(self._supervisor.powers.runtimes))
        if machines and not self._has_machines():
            await self._try(with_machines, lambda: not self._has_machines())

    def _has_machines(self) -> bool:
        powers = self._supervisor.powers
        return powers.machines and (powers.shares or powers.forwarded)

    def _undecided(self) -> bool:
        return self._supervisor.powers.machines and self._supervisor.powers.accelerator is None

    async def _try(self, trial: Callable[[Powers], Powers], needed: Callable[[], bool] = lambda: True) -> None:
        """One at a time: each gives all powers."""
        async with self._looking:
            if needed():
                self._supervisor.powers = await asyncio.to_thread(trial, self._supervisor.powers)
