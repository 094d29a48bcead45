"""What happened and happens: events and logs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from fourfold.clock import rfc3339
from fourfold.control import views as v
from fourfold.control.goals import GATEWAY
from fourfold.control.requests.base import Requests
from fourfold.errors import NotFoundError
from fourfold.store.model import Event
from fourfold.store.tables.events import ALL, Which
from fourfold.supervise.model import LogLine


class Events(Requests):
    async def events(
        self,
        app: str | None,
        after: int,
        follow: bool,
        operation: str | None = None,
        tail: int | None = None,
        which: Which = ALL,
    ) -> AsyncIterator[v.EventView]:
        bus = self._parts.bus
        if tail is not None:
            after = max(after, bus.before(tail, app, operation, which))
        if operation is not None and not self._is_open(operation):
            if not any(True for _ in bus.since(0, app, operation)):
                raise NotFoundError(f"cannot follow operation {operation}: it is not known")
            async for view in self._interrupted(app, after, operation):
                if which.wants(view.kind):
                    yield view
            return
        if not follow:
            for event in bus.since(after, app, operation, which):
                yield event_view(event)
            return
        async for event in bus.follow(after, app, operation, which if operation is None else ALL):
            if operation is None or which.wants(event.kind):
                yield event_view(event)
            if operation is not None and event.kind in ("operation.done", "operation.failed"):
                return

    def _is_open(self, operation: str) -> bool:
        return self._parts.operations.is_open(operation) or self._parts.store.bakes.is_open(operation)

    async def _interrupted(self, app: str | None, after: int, operation: str) -> AsyncIterator[v.EventView]:
        """An operation of a daemon before this one that had not come to its deployments, or had ended."""
        last = None
        for event in self._parts.bus.since(0, app, operation):
            last = event
            if event.seq > after:
                yield event_view(event)
        if last is not None and last.kind not in ("operation.done", "operation.failed"):
            ended = replace(
                last, kind="operation.failed", message="interrupted: the daemon restarted before anything had changed"
            )
            yield event_view(ended)

    async def logs(
        self, app: str, services: Sequence[str], since: float | None, tail: int | None, previous: bool, follow: bool
    ) -> AsyncIterator[tuple[str, LogLine]]:
        self._parts.status.need_app(app)
        wanted = [name for name in services if name != "gateway"]
        keys = [f"{app}.{name}" for name in self._names(app, wanted)] if wanted or not services else []
        if "gateway" in services:
            keys.append(GATEWAY)
        async for item in self._parts.logs.read(keys, since=since, tail=tail, previous=previous, follow=follow):
            yield item


def event_view(event: Event) -> v.EventView:
    return v.EventView(
        seq=event.seq,
        at=rfc3339(event.at),
        app=event.app,
        service=event.service,
        instance=event.instance,
        kind=event.kind,
        message=event.message,
        actor=event.actor,
        data=event.data,
    )
