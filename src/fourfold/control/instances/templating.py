"""Which machines go on from a template, and when one is made: before the first of them starts.

That takes as long as a machine takes to boot, which the first one would need anyhow. Whatever is wrong with a template,
a machine then boots: one that cannot be made keeps nothing from starting, and one that a machine could not go on from
is thrown away. Another is made after a while: what was in the way (a full disk, a busy host) may have passed.

Where a second machine of a template gets ready, more will come: that one is asked which files it has read, and
another template is made, in whose memory they are. Those to come need not read them, and have them in common.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from fourfold.clock import Clock
from fourfold.errors import FourfoldError, WorldError
from fourfold.functions.model import TEMPLATE
from fourfold.launch import sandbox, template
from fourfold.launch.model import Bridge, Launch
from fourfold.paths import Paths
from fourfold.spec.model import Health, Service
from fourfold.store.files import trees
from fourfold.store.files.templates import Origin, Templates
from fourfold.store.model import InstanceRow
from fourfold.supervise.machines.guest import Guest
from fourfold.supervise.machines.templates import Boot, Booting, host_key, make
from fourfold.supervise.model import Exit

log = logging.getLogger(__name__)

_ANSWER_SECONDS = 10.0
AGAIN_AFTER = 600.0
"""Seconds for which machines boot where none could be made, or gone on from."""
_BEFORE_IT_LEARNS = 2
"""Machines that have gone on from a template."""
_CPU_WEIGHT = 20
"""Of a machine that nobody waits for; services have 100 (cgroup-v2's `cpu.weight`)."""
Ready = Callable[[InstanceRow, Service], Awaitable[None]]
"""Returns once the program of an instance is ready, whatever its row says."""
Reads = Callable[[str], Awaitable[Sequence[str]]]
"""What an instance's guest has in its memory of its files. WorldError."""


@dataclass(frozen=True)
class _Use:
    """Of a template, by one instance."""

    key: str
    found: str
    """The one that it goes on from: `key`, or what has been made of it since."""
    launch: Launch
    """Without a template."""


class Emit(Protocol):
    def __call__(self, kind: str, row: InstanceRow, message: str, **data: Any) -> None: ...


@dataclass(frozen=True)
class _Wanted:
    """A template to make of an instance's machine."""

    row: InstanceRow
    service: Service
    launch: Launch
    key: str
    artifact: str
    emit: Emit
    reads: Sequence[str]
    """What it is to have in its memory of its files."""

    @property
    def is_ready(self) -> bool:
        """With the service in it."""
        return self.launch.sandbox is None and self.service.vm.template == "ready"


class Templating:
    """`boot` starts a machine that one is made of; `is_ready` asks its program, `reads` its guest; `lend` gives it an
    address."""

    def __init__(
        self,
        paths: Paths,
        templates: Templates,
        clock: Clock,
        boot: Boot,
        is_ready: Ready,
        reads: Reads,
        lend: Callable[[str], str],
        boot_id: str,
    ) -> None:
        self._work = paths.work
        self._templates = templates
        self._clock = clock
        self._boot = boot
        self._is_ready = is_ready
        self._reads = reads
        self._lend = lend
        self._boot_id = boot_id
        self._making: dict[str, asyncio.Task[None]] = {}
        self._writing: set[asyncio.Task[None]] = set()
        self._useless: dict[str, float] = {}
        """Key of what could not be made, or gone on from -> until when none is."""
        self._used: dict[str, _Use] = {}
        self._users: Counter[str] = Counter()
        """Key -> machines that have gone on from it."""
        self._asked: set[str] = set()
        """Keys of those for which a machine has been asked what it reads."""

    def key(self, row: InstanceRow, service: Service, launch: Launch) -> str | None:
        """Of the template that this machine may go on from; None: it is to boot."""
        how = service.vm.template if launch.sandbox is None else "boot"
        launch = _booted(launch)
        machine = launch.machine
        if machine is None or how == "off" or row.role != "serve" or row.failures or not template.can_have(machine):
            return None
        try:
            key = template.key(launch, host_key(machine.accelerator), how == "ready")
        except WorldError as error:
            log.info("no template for %s: %s", row.id, error)
            return None
        left = self._useless.get(key, 0.0) - self._clock.now()
        return None if 0 < left <= AGAIN_AFTER else key  # more is left when the clock was set back

    def applied(self, row: InstanceRow, key: str | None, launch: Launch) -> Launch:
        """The Launch that goes on from the template, if it is there."""
        found = self._find(key) if key is not None else None
        if key is None or found is None or (launch.machine or launch.sandbox) is None:
            self._used.pop(row.id, None)
            return launch
        folder = found[1]
        self._used[row.id] = _Use(key, found[0], launch)
        self._users[key] += 1
        if launch.machine is None:
            return replace(launch, env={**launch.env, TEMPLATE: str(folder)})
        return replace(launch, machine=replace(launch.machine, template=str(folder)))

    def is_missing(self, key: str | None) -> bool:
        return key is not None and self._find(key) is None

    def _find(self, key: str) -> tuple[str, Path] | None:
        for each in (template.learned(key), key):
            if (folder := self._templates.find(each, self._boot_id)) is not None:
                return each, folder
        return None

    def is_to_learn(self, name: str) -> bool:
        """Whether the template of this instance, which is ready now, is worth to be made again."""
        use = self._used.get(name)
        return (
            use is not None
            and use.launch.machine is not None
            and use.found == use.key
            and self._users[use.key] >= _BEFORE_IT_LEARNS
            and use.key not in self._asked
        )

    async def learn(self, row: InstanceRow, service: Service, artifact: str, emit: Emit) -> None:
        """Have it made again, with what this instance has read in its memory. Never raises: events tell."""
        use = self._used.get(row.id)
        if use is None or service.vm.template != "boot":
            return  # it has ended; or there is nothing left to read
        self._asked.add(use.key)
        try:
            reads = await self._reads(row.id)
        except WorldError as error:
            log.info("what %s has read is not known: %s", row.id, error)
            self._asked.discard(use.key)  # it ends, perhaps: the next one will say
            return
        if not reads:
            return
        gently = replace(use.launch, limits=replace(use.launch.limits, cpu_weight=_CPU_WEIGHT))
        await self.make(row, service, gently, template.learned(use.key), artifact, emit, reads)

    async def make(
        self,
        row: InstanceRow,
        service: Service,
        launch: Launch,
        key: str,
        artifact: str,
        emit: Emit,
        reads: Sequence[str] = (),
    ) -> None:
        """Have it made, once for all that ask. Never raises: events tell. `reads`: what it is to have in its memory."""
        task = self._making.get(key)
        if task is None:
            wanted = _Wanted(row, service, launch, key, artifact, emit, reads)
            task = asyncio.get_running_loop().create_task(self._make(wanted))
            self._making[key] = task
            task.add_done_callback(lambda _: self._making.pop(key, None))
        await asyncio.shield(task)

    def ended(self, exit: Exit, came_up: bool) -> str | None:
        """An instance has ended. -> what to tell of its template, if that was to blame: it is thrown away.

        `came_up`: the machine was ready, or was to end: whatever ended it, it had gone on from its template.
        """
        use = self._used.pop(exit.instance, None)
        if use is None or came_up or not exit.said.startswith("QEMU ended"):
            return None
        self._spoil(use.found)
        self._templates.remove(use.found)
        return f"{exit.instance} could not go on from its template, and boots: {exit}"

    async def close(self) -> None:
        tasks = [*self._making.values(), *self._writing]
        for task in self._making.values():
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _make(self, wanted: _Wanted) -> None:
        row, name = wanted.row, wanted.row.service
        began = self._clock.now()
        try:
            await self._publish(wanted)
        except Exception as error:
            if not isinstance(error, FourfoldError):
                log.error("cannot make a template of %s", name, exc_info=error)
            self._spoil(wanted.key)
            lacking = "no better template of {}" if wanted.reads else "no template of {}, its machines boot"
            wanted.emit("template.failed", row, f"{lacking.format(name)}: {error}")
            return
        what = "with what it reads in memory" if wanted.reads else "booted"
        what = "with the service ready in it" if wanted.is_ready else what
        seconds = self._clock.now() - began
        wanted.emit("template.made", row, f"made a template, {what}, in {seconds:.1f} s", seconds=seconds)
        self._soon(asyncio.to_thread(self._templates.sync, wanted.key))

    async def _publish(self, wanted: _Wanted) -> None:
        row, launch, key = wanted.row, _booted(wanted.launch), wanted.key
        staged = Path(await asyncio.to_thread(tempfile.mkdtemp, dir=self._work, prefix="template-"))
        # Of the key too: where their environments differ, two of a release are made at once.
        name = f"{row.app}.{row.service}-{row.release}-template-{key[:6]}"
        try:
            rest: Callable[[Booting], Awaitable[None]] | None = None
            address = None
            if (wanted.is_ready or wanted.reads) and isinstance(launch.network, Bridge):
                address = self._lend(name)  # nobody is to take it for the instance, which may run
                row = replace(row, address=address)
            if wanted.is_ready:
                rest = partial(self._come_to_rest, row, wanted.service)
            one = template.named(launch, name, address)
            await make(self._boot, one, staged, rest, _patience(wanted.service), wanted.reads)
            origin = Origin(row.app, row.service, wanted.artifact, self._boot_id)
            await asyncio.to_thread(self._templates.publish, key, staged, origin)
        finally:
            await asyncio.shield(asyncio.to_thread(trees.remove, staged))

    async def _come_to_rest(self, row: InstanceRow, service: Service, machine: Booting) -> None:
        await self._is_ready(row, service)
        guest = await Guest.connect(machine.control, _ANSWER_SECONDS)
        try:
            await guest.freeze()
        finally:
            await guest.close()

    def _spoil(self, key: str) -> None:
        now = self._clock.now()
        self._useless = {each: until for each, until in self._useless.items() if until > now}
        self._useless[key] = now + AGAIN_AFTER

    def _soon(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)


def _booted(launch: Launch) -> Launch:
    """The machine to make a template of: that of an invoker is one of its sandboxes."""
    return sandbox.of_template(launch) if launch.sandbox is not None else launch


def _patience(service: Service) -> float:
    """Seconds: before the planner gives up an instance that does not get ready."""
    grace = service.health.grace if service.health is not None else Health().grace
    return 0.8 * min(grace, service.deploy.timeout)
