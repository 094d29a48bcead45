"""Logs of several instances as one stream: merged by time, then followed, new instances included as they come."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

from fourfold.control.goals import GATEWAY
from fourfold.control.registry import Registry
from fourfold.control.reporting.explain import has_failed
from fourfold.paths import Paths
from fourfold.store.model import InstanceRow
from fourfold.supervise import logs
from fourfold.supervise.model import LogLine

Run = tuple[str, int]
"""Instance id and which of its runs."""
LOOK_EVERY = 0.2
"""How often a follower looks for instances that are new."""
QUEUE = 1000
REMOVED = "[fourfold] somebody has removed its log: what it writes is kept again once it is restarted"


class Logs:
    def __init__(self, paths: Paths, registry: Registry) -> None:
        self._paths = paths
        self._registry = registry

    async def last_lines(self, row: InstanceRow, count: int) -> list[str]:
        """Of its last run that wrote anything."""
        for run in (row.run, row.run - 1):
            if run >= 1 and (lines := await asyncio.to_thread(logs.last_lines, self._paths, row.id, run, count)):
                return lines
        return []

    async def read(
        self, keys: Sequence[str], *, since: float | None, tail: int | None, previous: bool, follow: bool
    ) -> AsyncIterator[tuple[str, LogLine]]:
        runs = [run for key in keys for run in (self._previous(key) if previous else self._present(key))]
        if follow and not previous:
            async for item in self._follow(keys, runs, since, tail):
                yield item
            return
        sources = [self._lines(run, since, tail) for run in runs]
        heads = [await anext(source, None) for source in sources]
        while any(head is not None for head in heads):
            first = min((n for n, head in enumerate(heads) if head is not None), key=lambda n: _at(heads[n]))
            line = heads[first]
            assert line is not None
            yield runs[first][0], line
            heads[first] = await anext(sources[first], None)

    def _present(self, key: str) -> list[Run]:
        """What runs; when nothing does, what ran last."""
        rows = [row for row in self._registry.of_service(key) if row.role != "before" or row.state != "exited"]
        return _runs(rows or self._dead(key)[:1])

    def _previous(self, key: str) -> list[Run]:
        """The run before the present one of each instance, or the last instance that is gone; before both what a
        deployment that failed had started, unless something has ended since."""
        again = [row for row in self._registry.of_service(key) if row.run > 1]
        last = self._registry.deployments.get(key)
        failed = [row for row in self._dead(key) if has_failed(row, last)]
        if failed and not any(_ended_at(row) > _ended_at(failed[0]) for row in again):
            return _runs(failed[:1])
        return [(row.id, row.run - 1) for row in again] or _runs(self._dead(key)[:1])

    def _dead(self, key: str) -> list[InstanceRow]:
        """The last one first."""
        if key == GATEWAY:
            return []
        app, _, service = key.partition(".")
        gone = [row for row in self._registry.store.instances.of(app, service) if row.state == "gone"]
        return sorted(gone, key=lambda row: row.changed_at, reverse=True)

    async def _follow(
        self, keys: Sequence[str], runs: list[Run], since: float | None, tail: int | None
    ) -> AsyncIterator[tuple[str, LogLine]]:
        queue: asyncio.Queue[tuple[str, LogLine]] = asyncio.Queue(QUEUE)
        tasks: dict[Run, asyncio.Task[None]] = {}

        async def pump(run: Run, tail: int | None) -> None:
            async for line in self._lines(run, since, tail, follow=True):
                await queue.put((run[0], line))

        for run in runs:
            tasks[run] = asyncio.create_task(pump(run, tail))
        try:
            clock = asyncio.get_running_loop().time
            look_at = 0.0
            while True:
                with contextlib.suppress(TimeoutError):
                    yield await asyncio.wait_for(queue.get(), LOOK_EVERY)
                if clock() < look_at:
                    continue
                look_at = clock() + LOOK_EVERY
                for run in (run for key in keys for run in self._present(key)):
                    if run not in tasks:
                        tasks[run] = asyncio.create_task(pump(run, None))
        finally:
            for task in tasks.values():
                task.cancel()

    async def _lines(
        self, run: Run, since: float | None, tail: int | None, follow: bool = False
    ) -> AsyncIterator[LogLine]:
        row = self._registry.instances.get(run[0])
        lost = not await asyncio.to_thread(logs.path_of(self._paths, *run).exists)
        if lost and row is not None and row.state == "ready" and self._runs_now(run):
            yield LogLine(row.changed_at, REMOVED)
        source = logs.read(self._paths, *run, since=since, tail=tail, follow=follow, alive=lambda: self._runs_now(run))
        async for line in source:
            yield line

    def _runs_now(self, run: Run) -> bool:
        row = self._registry.instances.get(run[0])
        return row is not None and row.run == run[1] and row.state != "exited"


def _runs(rows: Sequence[InstanceRow]) -> list[Run]:
    return [(row.id, row.run) for row in rows]


def _ended_at(row: InstanceRow) -> float:
    return float((row.exit or {}).get("at", 0.0))


def _at(line: LogLine | None) -> float:
    return line.at if line is not None else float("inf")
