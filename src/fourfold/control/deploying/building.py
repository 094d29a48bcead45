"""What releases are built into: whether it is there, and making it, all of one operation at once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from fourfold.build.build import Builder, BuildRequest
from fourfold.clock import Clock
from fourfold.control.bus import Bus
from fourfold.control.operations import Operation
from fourfold.errors import FourfoldError
from fourfold.store.files.artifacts import Artifact
from fourfold.store.model import Build


async def nothing_to_settle(artifacts: Iterable[Artifact]) -> None: ...


class Building:
    """`stored` says whether an artifact is in the store."""

    def __init__(
        self,
        builder: Builder,
        stored: Callable[[str], bool],
        bus: Bus,
        clock: Clock,
        settle: Callable[[Iterable[Artifact]], Awaitable[None]] = nothing_to_settle,
    ) -> None:
        """`settle` is told of what was made, before it is started anywhere."""
        self._settle = settle
        self._builder = builder
        self._stored = stored
        self._bus = bus
        self._clock = clock
        self._held: Counter[str] = Counter()
        self.under_way = 0
        """Builds, those that wait for their turn included."""

    @property
    def in_use(self) -> set[str]:
        """Sources of operations in progress, which gc must leave."""
        return set(self._held)

    def is_there(self, build: Build | None) -> bool:
        return build is not None and self._stored(build.artifact)

    @contextmanager
    def holding(self, sources: Iterable[str]) -> Iterator[None]:
        """Until what is made of them has a release."""
        held = Counter(set(sources))
        self._held += held
        try:
            yield
        finally:
            self._held -= held  # others may hold the same

    async def build(self, operation: Operation, requests: Sequence[BuildRequest]) -> dict[str, Artifact]:
        """Service -> what was made of it. All builds come to their end, so that one error tells all that is wrong."""
        async with asyncio.TaskGroup() as group:
            tasks = {each.service: group.create_task(self._build(operation, each)) for each in requests}
        results = {name: task.result() for name, task in tasks.items()}
        errors = {name: result for name, result in results.items() if isinstance(result, FourfoldError)}
        if errors:
            first = next(iter(errors.values()))
            raise type(first)("; ".join(f"{name}: {error}" for name, error in errors.items()), first.hint)
        made = {name: result for name, result in results.items() if isinstance(result, Artifact)}
        await self._settle(made.values())
        return made

    async def _build(self, operation: Operation, request: BuildRequest) -> Artifact | FourfoldError:
        def emit(kind: str, message: str, **data: Any) -> None:
            self._bus.emit(kind, message, **{"service": request.service} | operation.tag() | data)

        begun = self._clock.now()
        self.under_way += 1
        emit("build.started", f"building for pattern {request.pattern}", pattern=request.pattern)
        try:
            artifact = await self._builder.build(request, lambda line: emit("build.log", line))
        except FourfoldError as error:
            emit("build.failed", str(error), hint=error.hint)
            return error
        finally:
            self.under_way -= 1
        seconds = self._clock.now() - begun
        emit("build.done", f"built in {seconds:.1f} s", seconds=seconds, artifact=artifact.digest)
        return artifact
