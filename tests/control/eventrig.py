"""Queue, schedules, triggers and jobs over a real store: what they deliver to, and start, only notes it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from fourfold.control.bus import Bus
from fourfold.control.delivering.eventing import Eventing
from fourfold.control.executor import Effects, Executor
from fourfold.control.faults import Faults
from fourfold.control.registry import Registry
from fourfold.control.triggers.aws import Aws
from fourfold.functions.model import Answer, Invocation
from fourfold.paths import Paths
from fourfold.store import layout
from fourfold.store.model import Event, InstanceRow
from tests.store.samples import FixedClock, add_service, instance, open_in, release, service_row

OK = Answer(200, b"{}")
FAILED = Answer(200, b'{"errorMessage":"no"}', error="Unhandled")


class FakeInvoking:
    """Answers with what `answer` gives, or raises; `calls` are (service, payload, request id)."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, bytes, str]] = []
        self.answer: Callable[[str], Answer | Exception] = lambda service: OK
        self.hold: asyncio.Event | None = None
        """While it is not set, nothing is answered."""
        self.at_once = self.most_at_once = 0

    async def invoke(self, app: str, service: str, invocation: Invocation, release: int | None = None) -> Answer:
        self.calls.append((service, invocation.payload, invocation.request_id))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if self.hold is not None:
                await self.hold.wait()
            found = self.answer(service)
        finally:
            self.at_once -= 1
        if isinstance(found, Exception):
            raise found
        return found


class EventRig:
    """An app `shop` without services."""

    def __init__(self, home: Path, clock: FixedClock | None = None) -> None:
        self.home = home
        self.paths = Paths.find({"FOURFOLD_HOME": str(home)}, 0)
        layout.create(self.paths, root=False)
        self.clock = clock or FixedClock()
        self.invoking = FakeInvoking()
        self.effects: list[tuple[str, str]] = []
        """(start, signal or kill; instance)."""
        self.store = open_in(self.paths, self.clock)
        self._build()

    def _build(self) -> None:
        self.registry = Registry(self.store)
        self.bus = Bus(self.store.events, Faults({}))
        self.executor = Executor(self.registry, self.bus, self.clock)
        self.events = Eventing(self.registry, self.executor, self.bus, self.clock, self._act, self.invoking, Aws(), {})
        self.queue, self.jobs = self.events.queue, self.events.jobs
        self.schedules, self.triggers = self.events.schedules, self.events.triggers

    async def restart(self) -> None:
        """Another daemon on the same store, the one before killed."""
        await self.events.close(grace=0)
        self._build()

    async def _act(self, effects: Effects) -> None:
        for kind, names in (("start", effects.starts), ("signal", effects.signals), ("kill", effects.kills)):
            self.effects += [(kind, name) for name in names]

    # -- what there is --------------------------------------------------------------------------------------------

    def service(self, name: str = "web", number: int = 1, pattern: str = "process", **spec: Any) -> None:
        """Deployed, with one ready instance unless it is a job."""
        whole = {"source": "./x", "run": "x", **({} if "job" in spec else {"port": 8080})} | spec
        self.store.releases.add(release(name, number, spec=whole))
        add_service(self.store, service_row(name, release=number, pattern=pattern))
        self.registry.reload()
        if "job" not in spec and not self.registry.of_service(f"shop.{name}"):
            self.put(instance(f"shop.{name}-{number}-aaaa", service=name, release=number))

    def change(self, name: str, **fields: Any) -> None:
        from dataclasses import replace

        with self.registry.transaction():
            self.registry.put_service(replace(self.registry.services[f"shop.{name}"], **fields))

    def put(self, row: InstanceRow) -> None:
        with self.registry.transaction():
            self.registry.put_instance(row)

    def ended(self, id: str, code: int | None = 0, reason: str = "", **more: Any) -> None:
        with self.registry.transaction():
            self.executor.ended(id, code=code, reason=reason or f"exit code {code}", **more)

    # -- what happens ---------------------------------------------------------------------------------------------

    async def settle(self) -> None:
        """Until everything that is due now has been delivered or started."""
        for _ in range(50):
            self.events.dispatcher.pump()
            self.jobs.converge()
            for _ in range(5):
                await asyncio.sleep(0)

    async def enqueue(self, payload: bytes = b"{}", service: str = "web", **given: Any) -> str:
        return await self.queue.enqueue("shop", service, payload, source="invoke", **given)

    async def later(self, seconds: float) -> None:
        self.clock.time += seconds
        await self.settle()

    def told(self, kind: str) -> list[Event]:
        self.bus.flush()
        return [event for event in self.store.events.after(0) if event.kind == kind]

    @property
    def waiting(self) -> int:
        return len(self.store.queue.waiting())


def evented(test: Callable[[EventRig], Awaitable[None]]) -> Callable[[Path], None]:
    """Run a test inside an event loop, with a rig of its own."""

    def wrapped(tmp_path: Path) -> None:
        async def run() -> None:
            rig = EventRig(tmp_path)
            await test(rig)
            await rig.events.close(grace=0)
            rig.store.database.close()

        asyncio.run(run())

    wrapped.__name__, wrapped.__doc__ = test.__name__, test.__doc__
    return wrapped
