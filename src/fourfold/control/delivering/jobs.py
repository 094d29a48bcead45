"""Runs of jobs: started, ended in time, tried again, and their outcome kept.

A run is a row in `runs` and an instance of the same id, role `run`. What is to happen next follows from both rows
alone, so a daemon goes on with the runs of the one before it. Only a service that is stopped or removed has its runs
ended by the planner; a deploy leaves them alone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from fourfold.clock import Clock
from fourfold.control.bus import Bus
from fourfold.control.executor import Effects, Executor
from fourfold.control.goals import pattern_of
from fourfold.control.loops import keep
from fourfold.control.registry import Registry
from fourfold.errors import ConflictError, NotFoundError, UserError
from fourfold.plan import model as m
from fourfold.spec.model import Service
from fourfold.spec.units import format_duration
from fourfold.store.model import InstanceRow, ServiceRow
from fourfold.store.tables.runs import Ending, RunRow

log = logging.getLogger(__name__)

KEEP_DEAD = 10
"""Instances of runs that have ended, of each job: as many as logs are kept."""
MOST_RUNS = 100
"""Of one job at once; more events wait."""
LARGEST_EVENT = 32 * 1024
"""Bytes that FOURFOLD_EVENT does not hold any more: all of an environment has some hundred KiB."""
KILL_AGAIN_SECONDS = 5.0
LOOK_SECONDS = 60.0


class Jobs:
    """`act` has the effects of stored actions; `changed` is called when a run has ended."""

    def __init__(
        self,
        registry: Registry,
        executor: Executor,
        bus: Bus,
        clock: Clock,
        act: Callable[[Effects], Awaitable[None]],
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._registry = registry
        self._executor = executor
        self._bus = bus
        self._clock = clock
        self._act = act
        self._changed = changed
        self._open: dict[str, RunRow] = {}
        self.reload()
        self._news = asyncio.Event()
        self._stored = asyncio.Event()
        """Set, and another one made, whenever a run has changed."""
        self._tasks: set[asyncio.Task[None]] = set()

    def reload(self) -> None:
        """From the store."""
        self._open = {run.id: run for run in self._registry.store.runs.under_way()}

    # -- starting -------------------------------------------------------------------------------------------------

    def start(
        self,
        app: str,
        service: str,
        *,
        source: str,
        event: bytes = b"",
        actor: str = "",
        trigger: str = "",
        lane: str = "",
        also: Callable[[], object] = lambda: None,
    ) -> RunRow:
        """Store a run together with what `also` stores; it is started at once.

        Raises NotFoundError, UserError for what is no job, ConflictError where it is stopped or has too many runs.
        """
        key = f"{app}.{service}"
        row = self._need(app, service)
        if row.stopped:
            raise ConflictError(f"cannot run {service}: it is stopped", f"start it again: fourfold restart {service}")
        if not self.has_room(key):
            raise ConflictError(
                f"cannot run {service}: {MOST_RUNS} runs of it are under way", f"end them: fourfold stop {service}"
            )
        now = self._clock.now()
        run = RunRow(
            id=self._registry.unused_id(f"{key}-{row.release}", 5),
            app=app,
            service=service,
            release=row.release,
            pattern=pattern_of(row),
            source=source,
            created_at=now,
            trigger=trigger,
            lane=lane,
            event=event.decode(errors="replace") if len(event) < LARGEST_EVENT else "",
            actor=actor,
            attempts=1,
        )
        made = InstanceRow(
            id=run.id,
            app=app,
            service=service,
            release=run.release,
            revision="run",
            role="run",
            state="starting",
            created_at=now,
            changed_at=now,
            pattern=run.pattern,
            run=1,
        )
        with self._registry.transaction():
            also()
            self._registry.store.runs.put(run)
            self._registry.put_instance(made)
        self._open[run.id] = run
        left_out = "" if len(event) < LARGEST_EVENT else f", without its event: {len(event):,} bytes are too large"
        self._tell("run.started", run, f"{run.id} begins, by {run.actor or run.source}{left_out}")
        self._do(Effects(starts=[run.id]))
        self.wake()
        return run

    def _need(self, app: str, service: str) -> ServiceRow:
        row = self._registry.services.get(f"{app}.{service}")
        if row is None or row.removed:
            raise NotFoundError(f"cannot run {service}: app {app} has no such service")
        if self._registry.spec(f"{app}.{service}", row.release).job is None:
            raise UserError(
                f"cannot run {service} to its end: it is no job",
                f"give a program: fourfold run {service} -- CMD; or add `job` to it in the service file",
            )
        return row

    def has_room(self, key: str, lane: str = "") -> bool:
        """Whether one more run may begin: not too many, and none of the same lane under way."""
        mine = [run for run in self._open.values() if f"{run.app}.{run.service}" == key]
        return len(mine) < MOST_RUNS and not (lane and any(run.lane == lane for run in mine))

    def under_way(self, key: str, trigger: str | None = None) -> list[RunRow]:
        mine = (run for run in self._open.values() if f"{run.app}.{run.service}" == key)
        return [run for run in mine if trigger is None or run.trigger == trigger]

    def event_of(self, instance: str) -> str:
        """What the program of a run finds in FOURFOLD_EVENT."""
        run = self._open.get(instance)
        return run.event if run is not None else ""

    # -- ending ---------------------------------------------------------------------------------------------------

    def stop(self, run: RunRow, ending: Ending, reason: str) -> None:
        """Its stop signal, and SIGKILL after the service's grace. It is not tried again but after a timeout."""
        row = self._registry.instances.get(run.id)
        if row is None or run.id not in self._open:
            return
        changed = replace(self._open[run.id], ending=ending, reason=reason)
        if row.state == "exited":
            if changed.retry_at is None:  # it has just ended by itself
                self._ended(self._open[run.id], row, self._clock.now())
            if run.id in self._open:
                self._finish(replace(changed, outcome="stopped"), row)
        elif row.state not in m.LEAVING:
            self._store(changed, m.Stop(run.id, reason))

    def wake(self) -> None:
        self._news.set()

    async def run(self) -> None:
        """Until cancelled."""
        await keep("jobs", self.converge, self._news, self._clock, self.reload)

    def converge(self) -> float:
        """Do what every run is due; when to look again at the latest."""
        now = self._clock.now()
        return min([self._look(run, now) for run in list(self._open.values())], default=now + LOOK_SECONDS)

    def _look(self, run: RunRow, now: float) -> float:
        row = self._registry.instances.get(run.id)
        if row is None:
            self._vanished(run, now)
        elif run.retry_at is not None:
            if self._is_wanted(run):
                return self._again(run, now)
            self._finish(replace(run, outcome="stopped", reason="its service was stopped"), row)
        elif row.state == "exited":
            return self._ended(run, row, now)
        elif row.state in ("stopping", "killing"):
            return self._kill(run, row, now)
        elif row.started_at is not None:
            job = self._spec(run).job
            at = row.started_at + job.timeout if job is not None else float("inf")
            if now < at:
                return at
            assert job is not None
            what = f"it did not end within {format_duration(job.timeout)}"
            self._store(replace(run, ending="timeout", reason=what), m.Stop(run.id, what))
            return now + self._spec(run).stop.grace
        return now + LOOK_SECONDS

    def _again(self, run: RunRow, now: float) -> float:
        assert run.retry_at is not None
        if now < run.retry_at:
            return run.retry_at
        self._store(replace(run, retry_at=None, attempts=run.attempts + 1, ending=""), m.Restart(run.id))
        self._tell("run.retried", run, f"{run.id} is tried again")
        return now + LOOK_SECONDS

    def _kill(self, run: RunRow, row: InstanceRow, now: float) -> float:
        wait = self._spec(run).stop.grace if row.state == "stopping" else KILL_AGAIN_SECONDS
        if now < row.changed_at + wait:
            return row.changed_at + wait
        self._store(run, m.Kill(run.id))
        return now + KILL_AGAIN_SECONDS

    def _ended(self, run: RunRow, row: InstanceRow, now: float) -> float:
        exit = row.exit or {}
        run = replace(run, code=exit.get("code"))
        if run.ending == "timeout":
            run = replace(run, outcome="timeout")
        elif run.ending == "stopped" or exit.get("asked"):
            run = replace(run, outcome="stopped", reason=run.reason or "it was stopped")
        elif run.code == 0:
            run = replace(run, outcome="ok", reason="")
        else:
            run = replace(run, outcome="failed", reason=str(exit.get("reason", "exit status unknown")))
        job = self._spec(run).job
        retries = job.retries if job is not None else 0
        failed = run.outcome in ("failed", "timeout") and not exit.get("fatal")
        if not failed or run.attempts > retries or not self._is_wanted(run):
            self._finish(run, row)
            return now + LOOK_SECONDS
        backoff = self._spec(run).restart.backoff
        at = now + min(float(backoff.min * 2 ** (run.attempts - 1)), backoff.max)
        self._store(replace(run, retry_at=at, outcome="", ending=""))
        self._tell("run.failed", run, f"{run.id} failed: {run.reason}; it is tried again", code=run.code)
        return at

    def _vanished(self, run: RunRow, now: float) -> None:
        """The planner has ended it with its service; of a purged app nothing is kept."""
        if self._registry.store.runs.get(run.id) is None:
            self._close(run)
            return
        gone = self._registry.store.instances.get(run.id)
        code = (gone.exit or {}).get("code") if gone is not None else None
        self._finish(replace(run, outcome="stopped", code=code, reason="its service was stopped"), None)

    def _finish(self, run: RunRow, row: InstanceRow | None) -> None:
        run = replace(run, ended_at=self._clock.now(), retry_at=None)
        self._store(run, *([m.Forget(run.id)] if row is not None else []))
        self._close(run)
        kind = "run.done" if run.outcome == "ok" else "run.failed"
        took = format_duration(round((run.ended_at or 0) - run.created_at, 1))
        what = f"{run.id} is done, in {took}" if run.outcome == "ok" else f"{run.id} failed: {run.reason}"
        self._tell(kind, run, what, code=run.code, outcome=run.outcome)

    def _close(self, run: RunRow) -> None:
        self._open.pop(run.id, None)
        self._pulse()
        self._changed()

    def _pulse(self) -> None:
        stored, self._stored = self._stored, asyncio.Event()
        stored.set()

    # -- helpers --------------------------------------------------------------------------------------------------

    def _spec(self, run: RunRow) -> Service:
        return self._registry.spec(f"{run.app}.{run.service}", run.release)

    def _is_wanted(self, run: RunRow) -> bool:
        row = self._registry.services.get(f"{run.app}.{run.service}")
        return row is not None and not row.stopped and not row.removed

    def _store(self, run: RunRow, *actions: m.Action) -> None:
        """The rows in one transaction, then what they mean in the world."""
        try:
            with self._registry.transaction():
                self._registry.store.runs.put(run)
                effects = self._executor.execute(actions)
                if run.ended_at is not None:
                    self._registry.store.runs.trim(run.app, run.service)
                    self._registry.store.instances.trim_runs(run.app, run.service, KEEP_DEAD)
        except BaseException:
            self.reload()
            raise
        self._open[run.id] = run
        self._pulse()
        self._do(effects)

    def _do(self, effects: Effects) -> None:
        if effects.starts or effects.signals or effects.kills:
            task = asyncio.get_running_loop().create_task(self._carry_out(effects))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _carry_out(self, effects: Effects) -> None:
        try:
            await self._act(effects)
        except Exception:  # the loop looks at the rows again, and so does the next daemon
            log.exception("a fault while runs were started or ended")
        self.wake()

    def _tell(self, kind: str, run: RunRow, message: str, **data: Any) -> None:
        self._bus.emit(
            kind, message, app=run.app, service=run.service, instance=run.id, release=run.release, run=run.id, **data
        )  # fmt: skip

    async def until(self, id: str, holds: Callable[[RunRow], bool]) -> RunRow:
        """The run once it is so. Raises NotFoundError for one that is not known, or not kept any more."""
        while True:
            stored = self._stored
            run = self._registry.store.runs.get(id)
            if run is None:
                raise NotFoundError(f"cannot find run {id}: it is not known, or not kept any more")
            if holds(run):
                return run
            await stored.wait()

    async def close(self) -> None:
        """What is under way goes on, and the next daemon with it."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
