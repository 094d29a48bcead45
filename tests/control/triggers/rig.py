"""A source with everything around it but a service: that is a function of the test's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from fourfold.clock import SystemClock
from fourfold.control.triggers.source import Site, Source, State, identity
from fourfold.errors import FourfoldError
from fourfold.functions.model import Answer
from fourfold.paths import Paths
from fourfold.spec.model import Service
from fourfold.spec.triggers import Trigger
from fourfold.store.store import open_store

Event = dict[str, Any]


class Rig:
    """`answer`: what the service says to an event; it raises FourfoldError when nothing is ready."""

    def __init__(self, home: Path, environ: Mapping[str, str]) -> None:
        paths = Paths.find({"FOURFOLD_HOME": str(home)}, 0)
        paths.state.mkdir(parents=True, exist_ok=True)
        self.store = open_store(paths, SystemClock())
        self.environ = environ
        self.answer: Callable[[Event], Answer] = lambda event: Answer(200, b"")
        self.answer_later: Callable[[Event], Awaitable[Answer]] | None = None
        self.delivered: list[Event] = []
        self.queued: list[Event] = []
        self.told: list[tuple[str, Event]] = []
        self.events: list[tuple[str, str]] = []
        self.refuse: FourfoldError | None = None
        """Raised by the queue."""

    async def _deliver(self, event: bytes, /) -> Answer:
        told = json.loads(event)
        answer = await self.answer_later(told) if self.answer_later else self.answer(told)
        self.delivered.append(json.loads(event))
        return answer

    async def _enqueue(self, event: bytes, /, state: Mapping[str, str] | None = None) -> str:
        if self.refuse is not None:
            raise self.refuse
        self.queued.append(json.loads(event))
        return "id"

    async def _tell(self, destination: str, event: bytes) -> None:
        if self.refuse is not None:
            raise self.refuse
        self.told.append((destination, json.loads(event)))

    def site(self, **trigger: Any) -> Site:
        spec = Trigger.model_validate(trigger)
        name = identity(spec)
        return Site(
            "app", "web", name, spec, Service.model_validate({"source": "./web"}), lambda: self.environ,
            State(self.store.trigger_states, "app", "web", name), self._deliver, self._enqueue, self._tell,
            lambda kind, message: self.events.append((kind, message)), SystemClock(),
        )  # fmt: skip

    @property
    def records(self) -> list[Event]:
        return [record for event in self.delivered for record in event["Records"]]

    @property
    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.events]


@asynccontextmanager
async def running(source: Source) -> AsyncIterator[None]:
    task = asyncio.create_task(source.run())
    try:
        yield
    finally:
        ended = task.done() and not task.cancelled()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert not ended, "the source has ended by itself"


async def until(holds: Callable[[], object], seconds: float = 60.0) -> None:
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.02)
