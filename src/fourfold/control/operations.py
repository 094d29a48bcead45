"""One change of an app at a time: who is at it, who waits, and when it has ended.

The rows of an operation's deployments carry its id, so that a new daemon goes on waiting for what an old one began.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from fourfold.clock import Clock
from fourfold.control.bus import Bus
from fourfold.control.registry import Registry
from fourfold.control.traffic import GatewayTraffic
from fourfold.control.views import OperationView
from fourfold.errors import FourfoldError, WorldError
from fourfold.store.deployments import OPEN

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
        self._busy: dict[str, Operation] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._known: set[str] = set()

    def submit(self, app: str, kind: str, actor: str, services: list[str], work: Work) -> OperationView:
        """Begin `work` once the operations before it on this app have ended."""
        id = "".join(secrets.choice("abcdefghjkmnpqrstuvwxyz23456789") for _ in range(8))
        operation = Operation(id, app, kind, actor, self._clock.now(), services)
        self._known.add(id)
        after = self._bus.last
        before = self._busy.get(app)
        waiting_for = None
        operation.queued = before is not None
        if before is not None:
            seconds = self._clock.now() - before.since
            waiting_for = f"{before.kind} by {before.actor or 'somebody'}, running for {seconds:.0f} s"
            self._bus.emit("operation.queued", f"{kind} of {app} waits for: {waiting_for}", **operation.tag())
        else:
            self._busy[app] = operation
            self._tell_start(operation)
        try:
            self._bus.flush()  # a store that cannot be written refuses the request
        except WorldError:
            if self._busy.get(app) is operation:
                del self._busy[app]
            raise
        self._spawn(self._run(operation, work))
        return OperationView(id=id, app=app, kind=kind, services=services, after=after, waiting_for=waiting_for)

    def knows(self, id: str) -> bool:
        return id in self._known or bool(self._registry.store.deployments.of_operation(id))

    def resume(self) -> None:
        """Go on waiting for the deployments that a daemon before this one began."""
        for deployment in self._registry.store.deployments.running():
            if deployment.operation not in self._known:
                self._known.add(deployment.operation)
                operation = Operation(
                    deployment.operation, deployment.app, "deployment", deployment.actor, deployment.started_at
                )
                self._spawn(self._run(operation, _nothing))

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        for task in list(self._tasks):
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, operation: Operation, work: Work) -> None:
        async with self._locks.setdefault(operation.app, asyncio.Lock()):
            operation.since = self._clock.now()
            self._busy[operation.app] = operation
            try:
                await self._carry_out(operation, work)
            except FourfoldError as error:
                self._failed(operation, str(error), hint=error.hint)
            except Exception:
                log.exception("operation %s of %s", operation.kind, operation.app)
                what = f"cannot {operation.kind} {operation.app}: a fault in Fourfold, see the daemon's log"
                self._failed(operation, what)
            finally:
                self._busy.pop(operation.app, None)

    def _tell_start(self, operation: Operation) -> None:
        self._bus.emit("operation.started", f"{operation.kind} of {operation.app} begins", **operation.tag())

    async def _carry_out(self, operation: Operation, work: Work) -> None:
        begun = self._clock.now()
        if operation.queued:
            self._tell_start(operation)
        await work(operation)
        await self._bus.until(lambda: not self._is_open(operation))
        deployments = self._registry.store.deployments.of_operation(operation.id)
        bad = {row.service: row.reason or row.state for row in deployments if row.state != "done"}
        if bad:
            what = "; ".join(f"{service}: {reason}" for service, reason in bad.items())
            self._failed(operation, f"{operation.kind} of {operation.app} failed: {what}", failed=bad)
            return
        await self._traffic.settled(operation.app)
        seconds = self._clock.now() - begun
        self._bus.emit(
            "operation.done", f"{operation.kind} of {operation.app} done in {seconds:.1f} s",
            **operation.tag(), services=operation.services, seconds=seconds,
        )  # fmt: skip

    def _failed(self, operation: Operation, message: str, **data: Any) -> None:
        self._bus.emit("operation.failed", message, **operation.tag(), **data)

    def _is_open(self, operation: Operation) -> bool:
        latest = self._registry.deployments.values()
        return any(row.operation == operation.id and row.state in OPEN for row in latest)


async def _nothing(operation: Operation) -> None:
    return
