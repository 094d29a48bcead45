"""What happens to instances in the world, into rows: spawned, signalled, ended."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from signal import SIGKILL
from typing import Any, Protocol

from fourfold.clock import Clock
from fourfold.control.bus import Bus
from fourfold.control.executor import Effects, Executor
from fourfold.control.goals import SYSTEM, goal_of
from fourfold.control.instances.events import InstanceEvents
from fourfold.control.instances.starter import Starter
from fourfold.control.instances.templating import Emit
from fourfold.control.loops import until_stored
from fourfold.control.registry import Registry, key_of
from fourfold.errors import FourfoldError, UserError, WorldError, of_the_disk
from fourfold.launch.model import Launch
from fourfold.plan.restart import failures_after, is_crash_loop
from fourfold.spec.model import Service
from fourfold.store.model import InstanceRow
from fourfold.supervise.model import Exit, Identity
from fourfold.supervise.spawner.connection import Lost
from fourfold.supervise.supervisor import Supervisor

log = logging.getLogger(__name__)

Prepared = tuple[InstanceRow, Launch, dict[str, str]]
"""What is to be spawned, and the values of its secrets."""
Started = tuple[InstanceRow, Identity]


class Watcher(Protocol):
    """Asks instances how they are; answers through `readiness`."""

    def watch(self, row: InstanceRow) -> None: ...
    def unwatch(self, name: str) -> None: ...


async def nothing_to_settle(rows: Sequence[InstanceRow]) -> None: ...


class Templates(Protocol):
    """Machines that new ones go on from, see `templating`."""

    def key(self, row: InstanceRow, service: Service, launch: Launch) -> str | None: ...
    def applied(self, row: InstanceRow, key: str | None, launch: Launch) -> Launch: ...
    def is_missing(self, key: str | None) -> bool: ...
    async def make(
        self, row: InstanceRow, service: Service, launch: Launch, key: str, artifact: str, emit: Emit
    ) -> None: ...
    def is_to_learn(self, name: str) -> bool: ...
    async def learn(self, row: InstanceRow, service: Service, artifact: str, emit: Emit) -> None: ...
    def ended(self, exit: Exit, came_up: bool) -> str | None: ...


class Lifecycle:
    def __init__(
        self,
        registry: Registry,
        executor: Executor,
        starter: Starter,
        supervisor: Supervisor,
        bus: Bus,
        clock: Clock,
        wake: Callable[[], None],
        settle: Callable[[Sequence[InstanceRow]], Awaitable[None]] = nothing_to_settle,
    ) -> None:
        """`settle` is awaited before these are started."""
        self._settle = settle
        self._registry = registry
        self._executor = executor
        self._starter = starter
        self._supervisor = supervisor
        self._tell = InstanceEvents(registry, bus).tell
        self._clock = clock
        self._wake = wake
        self.watcher: Watcher | None = None
        self.templates: Templates | None = None
        self.taken: Callable[[InstanceRow, Exit], None] = lambda row, exit: None
        """Counts what an instance took until its end, inside the transaction that stores that."""
        self._tasks: set[asyncio.Task[None]] = set()

    # -- effects --------------------------------------------------------------------------------------------------

    async def act(self, effects: Effects) -> None:
        """Do what the executor has stored. What fails or hangs for one instance keeps no other from what it is due."""
        told = [
            *((name, self._signal(name)) for name in effects.signals),
            *((name, self.kill(name)) for name in effects.kills),
        ]
        for name, telling in told:
            if self._is_guest(name):
                self._beside(telling)
        await asyncio.gather(
            *(telling for name, telling in told if not self._is_guest(name)), self._start(effects.starts)
        )

    def _is_guest(self, name: str) -> bool:
        """What becomes of it is up to its host, which may hang: nobody waits for that."""
        row = self._registry.instances.get(name)
        return row is not None and row.host is not None

    def _beside(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _signal(self, name: str) -> None:
        self._unwatch(name)
        with self._alone(name) as run:
            if not await self._supervisor.signal(name, self._stop_signal(name)):
                self._is_not_there(name, run)

    async def kill(self, name: str) -> None:
        """Never raises."""
        with self._alone(name) as run:
            if not await self._supervisor.kill(name):
                self._is_not_there(name, run)

    async def _start(self, names: Sequence[str]) -> None:
        if names:
            try:
                await self._settle([self._registry.instances[name] for name in names])
            except Exception as error:  # what was to be found out is as it was; who cannot start so, fails by itself
                log.error("before starts: %s", error, exc_info=not isinstance(error, FourfoldError))
            at_once = [each for each in map(self._templated, self._prepare(names)) if each is not None]
            for guest in [each for each in at_once if each[0].host is not None]:
                at_once.remove(guest)
                self._beside(self._start_guest(*guest))
            outcomes = await asyncio.gather(*(self._spawn(*each) for each in at_once))
            self._record_starts([outcome for outcome in outcomes if outcome is not None])

    async def _start_guest(self, row: InstanceRow, launch: Launch, values: dict[str, str]) -> None:
        outcome = await self._spawn(row, launch, values)
        known = self._registry.instances.get(row.id)
        if outcome is not None and (known is None or known.run != row.run or known.state == "exited"):
            await self.kill(row.id)  # it was given up meanwhile
        elif outcome is not None:
            self._record_starts([outcome])

    def _templated(self, prepared: Prepared) -> Prepared | None:
        """What is to be started now; None: it waits for its template, and nobody else does."""
        row, launch, values = prepared
        if self.templates is None or (launch.machine or launch.sandbox) is None:
            return prepared
        service = self._registry.spec(key_of(row), row.release)
        key = self.templates.key(row, service, launch)
        if key is not None and self.templates.is_missing(key):
            self._beside(self._start_later(prepared, service, key))
            return None
        return row, self.templates.applied(row, key, launch), values

    async def _start_later(self, prepared: Prepared, service: Service, key: str) -> None:
        row, launch, values = prepared
        assert self.templates is not None
        await self.templates.make(row, service, launch, key, self._artifact(row), self._tell)
        now = self._registry.instances.get(row.id)
        if now is None or (now.run, now.state) != (row.run, "starting"):
            return  # it is not wanted any more
        row = self._begin_anew(row)
        outcome = await self._spawn(row, self.templates.applied(row, key, launch), values)
        if outcome is not None:
            self._record_starts([outcome])

    def _artifact(self, row: InstanceRow) -> str:
        build = self._registry.build(key_of(row), row.release, row.pattern)
        return build.artifact if build is not None else ""

    def came_up(self, row: InstanceRow) -> None:
        """It is ready, for the first time."""
        if self.templates is not None and self.templates.is_to_learn(row.id):
            service = self._registry.spec(key_of(row), row.release)
            self._beside(self.templates.learn(row, service, self._artifact(row), self._tell))

    def _begin_anew(self, row: InstanceRow) -> InstanceRow:
        """Its grace begins now: however long a template took, it takes nothing from that."""
        now = self._clock.now()
        anew = replace(row, changed_at=now)
        with suppress(WorldError), self._registry.transaction():  # else it has less time
            self._registry.put_instance(anew)
            if deployment := self._registry.running_deployment(key_of(row)):
                self._registry.put_deployment(replace(deployment, progressed_at=now))
            return anew
        return row

    async def close(self) -> None:
        """What waits is started by the next daemon."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @contextmanager
    def _alone(self, name: str) -> Iterator[int]:
        """Around a signal to this run: the planner follows one that had no effect by another, unless nothing is there
        any more."""
        row = self._registry.instances.get(name)
        run = row.run if row is not None else 0
        try:
            yield run
        except Exception as error:
            log.error("cannot signal %s: %s", name, error, exc_info=not isinstance(error, FourfoldError))
            if name not in self._supervisor.running():
                self._is_not_there(name, run)

    def _stop_signal(self, name: str) -> str:
        row = self._registry.instances[name]
        if row.app == SYSTEM:
            return "USR1"
        return self._starter.stop_signal(row)

    def _prepare(self, names: Sequence[str]) -> list[Prepared]:
        """Ports are stored before anything can listen there: whoever adopts an instance must know where to ask it."""
        prepared: list[Prepared] = []
        refused: dict[str, Exception] = {}
        try:
            with self._registry.transaction():
                for name in names:
                    try:
                        row, launch, values = self._starter.prepare(self._registry.instances[name])
                    except Exception as error:
                        refused[name] = error
                        continue
                    self._registry.put_instance(row)
                    prepared.append((row, launch, values))
        except Exception as error:
            prepared, refused = [], dict.fromkeys(names, error)
        for name, why in refused.items():
            self._refused(name, why, self._registry.instances[name].run)
        return prepared

    async def _spawn(self, row: InstanceRow, launch: Launch, values: dict[str, str]) -> Started | None:
        name = row.id
        try:
            return row, await self._supervisor.start(launch, values, row.run)
        except Exception as error:
            identity = self._supervisor.running().get(name)
            if identity is None:
                self._refused(name, error, row.run, its_own=not isinstance(error, Lost))
                return None
        # A start of which we did not hear took place: it is this run, or an older one that has to go.
        if self._supervisor.run_of(name) == row.run:
            return row, identity
        await self.kill(name)
        why = WorldError(f"an earlier run of {name} was still there and has been killed")
        self._refused(name, why, row.run, its_own=False)
        return None

    @until_stored
    def _refused(self, name: str, error: Exception, run: int, its_own: bool = True) -> None:
        """A start that fails becomes an instance that ended: the planner tries again, or gives up where it was
        the instance's own failure. What is not counts from the second time in a row on: tries need pauses."""
        row = self._registry.instances.get(name)
        if row is None or row.state == "exited" or row.run != run:
            return  # a guest whose host has ended, or that was given up, meanwhile
        error = of_the_disk(error, f"start {name}") or error
        reason = str(error)
        if not isinstance(error, FourfoldError):
            log.error("cannot start %s", name, exc_info=error)
            reason = f"cannot start {name}: a fault in Fourfold, see the daemon's log"
        fatal = isinstance(error, UserError)
        counts = its_own or (row.exit or {}).get("reason") == reason
        with self._registry.transaction():
            self._executor.ended(name, code=None, reason=reason, fatal=fatal, failures=row.failures + counts)
        self._tell("instance.exited", row, f"{name}: {reason}", reason=reason)
        self._wake()

    @until_stored
    def _record_starts(self, started: list[Started]) -> None:
        now = self._clock.now()
        recorded = []
        with self._registry.transaction():
            for row, identity in started:
                known = self._registry.instances.get(row.id)
                if known is None or known.state == "exited" or known.run != row.run:
                    continue  # it has ended already, and its exit was quicker than we
                recorded.append(identified(replace(known, started_at=now), identity))
                self._registry.put_instance(recorded[-1])
        for row in recorded:
            if row.state == "starting" and row.role != "run":  # of runs others tell
                self._tell("instance.started", row, f"{row.id} started")
                self.watch(row)

    # -- exits ----------------------------------------------------------------------------------------------------

    @until_stored
    def _is_not_there(self, name: str, run: int) -> None:
        """What is to stop does not run, and no exit of it will come: however that came about, nobody waits for it."""
        self.exited(Exit(0, name, None, None, False, at=self._clock.now(), run=run))

    def exited(self, exit: Exit) -> None:
        """The supervisor tells of an exit, also of one from before this daemon started. WorldError: tell it again."""
        row = self._registry.instances.get(exit.instance)
        if row is None or row.state == "exited" or exit.run != row.run:
            return  # told before: an exit is repeated until it is acknowledged
        self._unwatch(row.id)
        came_up = row.state != "starting"
        if self.templates is not None and (what := self.templates.ended(exit, came_up)) is not None:
            self._tell("template.failed", row, what)
        with self._registry.transaction():
            self.taken(row, exit)
            self._executor.ended(
                row.id,
                code=exit.code,
                signal=exit.signal,
                oom=exit.oom,
                reason=self._reason(row, exit),
                failures=self._failures(row),
            )
        if row.role == "serve" and row.state in ("starting", "ready", "unready"):
            self._tell_exit(row, exit)
        self._wake()

    def _reason(self, row: InstanceRow, exit: Exit) -> str:
        late = row.state == "killing" and exit.signal == SIGKILL and not exit.oom
        sick = self._registry.live[row.id].sick
        return "; ".join(filter(None, (f"{exit}, for it did not stop in time" if late else str(exit), sick)))

    def _failures(self, row: InstanceRow) -> int:
        if row.state in ("draining", "stopping", "killing") and self._registry.live[row.id].sick is None:
            return row.failures
        well = self._clock.now() - row.ready_at if row.ready_at is not None else 0.0
        return failures_after(row.failures, well, goal_of(self._registry, key_of(row)).restarting)

    def _tell_exit(self, row: InstanceRow, exit: Exit) -> None:
        failures = self._registry.instances[row.id].failures
        message = f"{row.id} ended: {exit}"
        self._tell(
            "instance.exited", row, message,
            reason=str(exit), code=exit.code, signal=exit.signal, oom=exit.oom, failures=failures,
        )  # fmt: skip
        if is_crash_loop(failures):
            message = f"{row.id} is in a crash loop: {exit}, {failures} times in a row"
            self._tell("instance.crash-loop", row, message, failures=failures)

    # -- helpers --------------------------------------------------------------------------------------------------

    def watch(self, row: InstanceRow) -> None:
        if self.watcher is not None and row.role == "serve":
            self.watcher.watch(row)

    def _unwatch(self, name: str) -> None:
        if self.watcher is not None:
            self.watcher.unwatch(name)


def identified(row: InstanceRow, identity: Identity) -> InstanceRow:
    return replace(row, pid=identity.pid, start_time=identity.start_time, boot_id=identity.boot_id)
