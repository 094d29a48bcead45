"""One change of an app at a time: who is at it, who waits, and when it has ended.

The rows of an operation's deployments carry its id, so that a new daemon goes on waiting for what an old one began.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from fourfold.clock import Clock
from fourfold.control.bus import Bus
from fourfold.control.goals import goal_of
from fourfold.control.groups.groups import members
from fourfold.control.ids import letters
from fourfold.control.logformat import about
from fourfold.control.registry import Registry, key_of
from fourfold.control.routing.traffic import GatewayTraffic
from fourfold.control.views import OperationView
from fourfold.errors import ConflictError, FourfoldError, NotFoundError, WorldError, of_the_disk
from fourfold.spec.groups import GROUP
from fourfold.store.model import Deployment, ServiceRow
from fourfold.store.tables.deployments import OPEN

log = logging.getLogger(__name__)


@dataclass
class Operation:
    """A change in progress, or waiting for its turn."""

    id: str
    app: str
    kind: str
    actor: str
    since: float
    services: list[str] = field(default_factory=list)
    """Those it changes."""
    queued: bool = False
    """It had to wait for another one."""
    firm: bool = False
    """It has changed something, and goes on to its end."""
    cancelled: str | None = None
    """By whom."""
    turn: str = ""
    """Operations with the same one come one after the other; those without one, by app."""

    @property
    def queue(self) -> str:
        return self.turn or self.app

    def tag(self) -> dict[str, Any]:
        return {"app": self.app, "actor": self.actor, "operation": self.id}


Work = Callable[[Operation], Awaitable[None]]
"""Changes rows (and whatever must come before that); when it returns, the deployments it made are under way."""


class Operations:
    def __init__(self, registry: Registry, bus: Bus, clock: Clock, traffic: GatewayTraffic) -> None:
        self._registry = registry
        self._bus = bus
        self._clock = clock
        self._traffic = traffic
        self._locks: dict[str, asyncio.Lock] = {}
        self._queues: dict[str, list[Operation]] = {}
        """Of each app (or turn), the one at work first."""
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.ended = asyncio.Event()
        """Set whenever one has ended; for whoever tidies up after them."""

    def submit(self, app: str, kind: str, actor: str, services: list[str], work: Work, turn: str = "") -> OperationView:
        """Begin `work` once the operations before it on this app have ended; with `turn`, those of that turn."""
        id = letters(8)
        operation = Operation(id, app, kind, actor, self._clock.now(), services, turn=turn)
        after = self._bus.last
        queue = self._queues.get(operation.queue, [])
        waiting_for = hint = None
        operation.queued = bool(queue)
        if queue:
            before = queue[0]
            seconds = self._clock.now() - before.since
            what = before.kind if before.app == app else f"{before.kind} of {before.app}"
            waiting_for = f"{what} by {before.actor or 'somebody'}, running for {seconds:.0f} s"
            hint = _way_out(before)
            what = f"{kind} of {app} waits for: {waiting_for}"
            self._bus.emit("operation.queued", what, **operation.tag(), hint=hint)
        else:
            self._tell_start(operation)
        self._bus.flush()  # a store that cannot be written refuses the request
        self._spawn(operation, work)
        return OperationView(
            id=id, app=app, kind=kind, services=services, after=after, waiting_for=waiting_for, hint=hint
        )

    def is_open(self, id: str) -> bool:
        """It waits or goes on."""
        return id in self._tasks

    def busy(self, app: str) -> bool:
        return app in self._queues

    def coming(self, app: str) -> NotFoundError | None:
        """Of an app that is not there: how that is said while its first `up` still builds, or when that has failed."""
        ups = (each for each in self._queues.get(app, ()) if each.kind in ("up", "deploy"))
        if (first := next(ups, None)) is None:
            return self._came_to_nothing(app)
        what = f"cannot find app {app} yet: {first.kind} by {first.actor or 'somebody'} still builds it"
        return NotFoundError(what, f"`fourfold events -f --operation {first.id}` follows it; {_way_out(first)}")

    def _came_to_nothing(self, app: str) -> NotFoundError | None:
        last = self._registry.store.events.newest(app, None, "operation.failed", "operation.done")
        if last is None or last.kind == "operation.done":
            return None
        why = last.message.partition("\n")[0]
        return NotFoundError(f"cannot find app {app}: what was tried last failed: {why}", "see: fourfold events")

    def counts(self) -> tuple[int, int]:
        """How many are at work, and how many wait for their turn."""
        return len(self._queues), sum(len(queue) - 1 for queue in self._queues.values())

    @property
    def at_work(self) -> bool:
        return bool(self._queues)

    async def cancel(self, id: str, actor: str) -> None:
        """End one that waits or builds: it has changed nothing yet. Raises ConflictError for one that has."""
        operation = next((each for queue in self._queues.values() for each in queue if each.id == id), None)
        if operation is None:
            if self.is_open(id):
                raise ConflictError(
                    f"cannot cancel operation {id}: it is being deployed already, in steps",
                    "`fourfold deploy SERVICE --abort` takes a deployment back",
                )
            if any(True for _ in self._bus.since(0, operation=id)):
                raise ConflictError(f"cannot cancel operation {id}: it has ended")
            raise NotFoundError(f"cannot cancel operation {id}: it is not known")
        if operation.firm:
            raise ConflictError(
                f"cannot cancel the {operation.kind} of {operation.app}: it is being deployed already",
                "see it through, then go back with `fourfold rollback`",
            )
        operation.cancelled = actor or "somebody"
        self._tasks[id].cancel()
        await asyncio.wait({self._tasks[id]})

    async def abandon(self, name: str) -> None:
        """End all operations of an app or turn wherever they are, and wait until they have: what they have changed
        stays so, and its deployments go on."""
        tasks = {self._tasks[each.id] for each in self._queues.get(name, ())}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def resume(self, unfinished: Sequence[tuple[Operation, Work]]) -> None:
        """Go on with what a daemon before this one began: `unfinished`, and to wait for all other deployments. Those
        that have ended are told of, if it did not come to that: somebody may be waiting for it."""
        store = self._registry.store
        for operation, work in unfinished:
            self._resume(operation, work)
        untold = (row for id in store.events.unended() for row in store.deployments.of_operation(id))
        for row in (*store.deployments.running(), *untold):
            self._resume(Operation(row.operation, row.app, "deployment", row.actor, row.started_at), _nothing)

    def _resume(self, operation: Operation, work: Work) -> None:
        if not self.is_open(operation.id):
            operation.firm = True
            self._spawn(operation, work)

    async def close(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task

    def _spawn(self, operation: Operation, work: Work) -> None:
        self._queues.setdefault(operation.queue, []).append(operation)
        with about(app=operation.app, operation=operation.id):
            task = asyncio.create_task(self._run(operation, work))
        self._tasks[operation.id] = task
        task.add_done_callback(lambda _: self._leave(operation))

    def _give_turn_away(self, operation: Operation) -> None:
        queue = self._queues.get(operation.queue, [])
        if operation in queue:
            queue.remove(operation)
            if not queue:
                del self._queues[operation.queue]
                self._locks.pop(operation.queue, None)  # one that was cancelled before it began made none

    def _leave(self, operation: Operation) -> None:
        del self._tasks[operation.id]
        self._give_turn_away(operation)
        if operation.cancelled:
            what = f"{operation.kind} of {operation.app} was cancelled by {operation.cancelled}: nothing was changed"
            self._failed(operation, what, cancelled=operation.cancelled)
        self.ended.set()

    async def _run(self, operation: Operation, work: Work) -> None:
        """A deployment that stays at a step for minutes, or until somebody promotes it, is in nobody's way."""
        try:
            async with self._locks.setdefault(operation.queue, asyncio.Lock()):
                operation.since = self._clock.now()
                if operation.queued:
                    self._tell_start(operation)
                await work(operation)
                operation.firm = True
                await self._bus.until(lambda: not self._needs_its_turn(operation))
                if not self._open(operation):
                    await self._see_through(operation)
                    return
            self._give_turn_away(operation)
            await self._see_through(operation)
        except FourfoldError as error:
            self._failed(operation, str(error), hint=error.hint, exit_code=error.exit_code)
        except Exception as error:
            log.exception("operation %s of %s", operation.kind, operation.app)
            doing = f"{operation.kind} {operation.app}"
            told = of_the_disk(error, doing) or WorldError(f"cannot {doing}: a fault in Fourfold, see the daemon's log")
            self._failed(operation, told.what, hint=told.hint)

    def _tell_start(self, operation: Operation) -> None:
        self._bus.emit("operation.started", f"{operation.kind} of {operation.app} begins", **operation.tag())

    async def _see_through(self, operation: Operation) -> None:
        await self._bus.until(lambda: not self._open(operation))
        deployments = self._registry.store.deployments.of_operation(operation.id)
        bad = {row.service: row.reason or row.state for row in deployments if row.state != "done"}
        if bad:
            what = "; ".join(f"{service}: {reason}" for service, reason in bad.items())
            self._failed(operation, f"{operation.kind} of {operation.app} failed: {what}", failed=bad)
            return
        await self._members_follow([row for row in deployments if row.pattern == GROUP])
        await self._traffic.settled(operation.app)
        seconds = self._clock.now() - operation.since
        self._bus.emit(
            "operation.done", f"{operation.kind} of {operation.app} done in {seconds:.1f} s",
            **operation.tag(), services=operation.services, seconds=seconds,
        )  # fmt: skip

    async def _members_follow(self, groups: list[Deployment]) -> None:
        """They start in new instances of their group as soon as those are there, which is no deployment of theirs: one
        that does not come up in there fails nobody, and is waited for as long as it may take."""
        followed = [(row, each) for row in groups for each in members(self._registry, row.app, row.service)]
        if followed:
            patience = max(goal_of(self._registry, key_of(member)).grace for _, member in followed)
            with suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await self._bus.until(lambda: not any(self._is_missing(*each) for each in followed))

    def _is_missing(self, group: Deployment, member: ServiceRow) -> bool:
        """In an instance of its group, while it is well in another one."""
        guests = self._registry.of_service(key_of(member))
        if not any(guest.state == "ready" for guest in guests):
            return False
        hosts = {row.id for row in self._registry.of_service(key_of(group)) if row.state == "ready"}
        return bool(hosts - {guest.host for guest in guests if guest.state != "starting" or guest.failures})

    def _failed(self, operation: Operation, message: str, **data: Any) -> None:
        self._bus.emit("operation.failed", message, **operation.tag(), **data)

    def _open(self, operation: Operation) -> list[Deployment]:
        latest = self._registry.deployments.values()
        return [row for row in latest if row.operation == operation.id and row.state in OPEN]

    def _needs_its_turn(self, operation: Operation) -> bool:
        """None of its deployments stays at a step; else all but those could only wait for them."""
        found = self._open(operation)
        return bool(found) and not any(row.state == "running" and row.step_at is not None for row in found)


def _way_out(operation: Operation) -> str:
    if operation.firm:
        return f"it deploys already, and ends once that serves or has failed: see `fourfold status -a {operation.app}`"
    return f"it has changed nothing yet: `fourfold cancel {operation.id}` ends it"


async def _nothing(operation: Operation) -> None:
    return
