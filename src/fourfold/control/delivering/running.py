"""Runs of jobs and events that were given up, as requests see them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from functools import partial

from fourfold.clock import Clock, rfc3339
from fourfold.control import views as v
from fourfold.control.bus import Bus
from fourfold.control.delivering.eventing import Eventing
from fourfold.control.delivering.jobs import LARGEST_EVENT
from fourfold.control.registry import Registry
from fourfold.errors import NotFoundError, UserError
from fourfold.paths import Paths
from fourfold.store.model import ServiceRow
from fourfold.store.tables.queue import EventRow
from fourfold.store.tables.runs import RunRow
from fourfold.supervise import logs
from fourfold.supervise.model import LogLine

SHOWN_BYTES = 64 * 1024
"""Of an event's payload."""
SHOWN_OF_ANSWER = 4 * 1024


class Running:
    def __init__(self, paths: Paths, registry: Registry, events: Eventing, bus: Bus, clock: Clock) -> None:
        self._paths = paths
        self._registry = registry
        self._events = events
        self._bus = bus
        self._clock = clock

    # -- runs -----------------------------------------------------------------------------------------------------

    def start(self, app: str, service: str, event: str, actor: str) -> v.RunView:
        """Raises UserError for what is no job and for too large an event, ConflictError where it is stopped."""
        if (size := len(event.encode())) >= LARGEST_EVENT:
            raise UserError(
                f"cannot run {service} with an event of {size:,} bytes: FOURFOLD_EVENT holds less than 32 KiB",
                "keep what is larger in a file or a bucket, and give its name",
            )
        run = self._events.jobs.start(app, service, source="run", event=event.encode(), actor=actor)
        return run_view(run, self._clock.now())

    def runs(self, app: str, service: str | None) -> list[v.RunView]:
        now = self._clock.now()
        return [run_view(run, now) for run in self._registry.store.runs.of(app, service)]

    async def follow(self, app: str, id: str, skip: int) -> AsyncIterator[LogLine | v.RunView]:
        """What it writes, without the first `skip` lines, over all its tries; last how it ended."""
        self._need(app, id)
        attempt = 1
        while True:
            alive = partial(self._runs_now, id, attempt)
            async for line in logs.read(self._paths, id, attempt, follow=True, alive=alive):
                if skip:
                    skip -= 1
                else:
                    yield line
            run = await self._events.jobs.until(id, partial(_has_left, attempt))
            if run.attempts == attempt:
                yield run_view(run, self._clock.now())
                return
            attempt += 1

    def _need(self, app: str, id: str) -> RunRow:
        run = self._registry.store.runs.get(id)
        if run is None or run.app != app:
            raise NotFoundError(
                f"cannot find run {id} of app {app}: it is not known, or not kept any more",
                "see: fourfold history SERVICE --runs",
            )
        return run

    def _runs_now(self, id: str, attempt: int) -> bool:
        row = self._registry.instances.get(id)
        return row is not None and row.run == attempt and row.state != "exited"

    # -- events that were given up ----------------------------------------------------------------------------------

    def failed(self, app: str, service: str | None) -> list[v.FailedView]:
        return [failed_view(row) for row in self._events.given_up.of(app, service)]

    def replay(self, app: str, service: str | None, ids: Sequence[str] | None, actor: str) -> list[str]:
        if ids is None and service is None:
            raise UserError("cannot replay all events: say of which service", "fourfold events replay --all SERVICE")
        rows = self._events.given_up.replay(app, service, ids)
        for row in rows:
            what = f"an event of {row.source} that was given up is delivered again"
            self._bus.emit("event.replayed", what, app=app, service=row.service, actor=actor, id=row.id)
        return [row.id for row in rows]


def _has_left(attempt: int, run: RunRow) -> bool:
    return run.ended_at is not None or run.attempts > attempt


def job_view(registry: Registry, events: Eventing, row: ServiceRow, now: float) -> v.JobView | None:
    """None: it is no job."""
    key = f"{row.app}.{row.name}"
    if registry.spec(key, row.release).job is None:
        return None
    ended = [run for run in registry.store.runs.of(row.app, row.name, limit=20) if run.ended_at is not None]
    next_at = events.schedules.next_of(row.app, row.name)
    return v.JobView(
        running=len(events.jobs.under_way(key)),
        last=run_view(ended[0], now) if ended else None,
        next_at=rfc3339(next_at) if next_at is not None else None,
    )


def run_view(run: RunRow, now: float) -> v.RunView:
    state = "running" if run.retry_at is None else "retrying"
    return v.RunView(
        id=run.id,
        service=run.service,
        release=run.release,
        pattern=run.pattern,
        source=run.source,
        actor=run.actor,
        state=run.outcome or state,
        attempts=run.attempts,
        created_at=rfc3339(run.created_at),
        ended_at=rfc3339(run.ended_at) if run.ended_at is not None else None,
        seconds=round((now if run.ended_at is None else run.ended_at) - run.created_at, 3),
        code=run.code,
        reason=run.reason or None,
    )


def failed_view(row: EventRow) -> v.FailedView:
    return v.FailedView(
        id=row.id,
        service=row.service,
        source=row.source,
        created_at=rfc3339(row.created_at),
        failed_at=rfc3339(row.failed_at or row.created_at),
        attempts=row.attempts,
        reason=row.reason,
        error=row.error,
        payload=row.payload[:SHOWN_BYTES].decode(errors="replace"),
        size_bytes=len(row.payload),
        answer=row.answer[:SHOWN_OF_ANSWER].decode(errors="replace"),
    )
