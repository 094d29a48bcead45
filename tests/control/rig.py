"""Lifecycle over a real store, planner's executor and registry; what it starts is a row of a fake supervisor."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from fourfold.control.bus import Bus
from fourfold.control.executor import Executor
from fourfold.control.faults import Faults
from fourfold.control.instances.adopting import Adopting
from fourfold.control.instances.lifecycle import Lifecycle
from fourfold.control.instances.readiness import Readiness
from fourfold.control.instances.starter import Starter
from fourfold.control.registry import Registry
from fourfold.errors import WorldError
from fourfold.launch.model import Launch
from fourfold.paths import Paths
from fourfold.store import layout
from fourfold.store.model import InstanceRow
from fourfold.supervise.model import Identity
from fourfold.supervise.supervisor import Supervisor
from tests.store.samples import FixedClock, add_service, instance, open_in, release, service_row

SPEC = {"source": "./x", "run": "x", "port": 8080}


class FakeStarter:
    """Gives ports from 20000 on, to all but those named in `fails`."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self.fails: dict[str, Exception] = {}

    def prepare(self, row: InstanceRow) -> tuple[InstanceRow, Launch, dict[str, str]]:
        if row.id in self.fails:
            raise self.fails[row.id]
        used = {each.port for each in self._registry.instances.values()}
        port = next(port for port in range(20000, 21000) if port not in used)
        return replace(row, port=port), cast(Launch, row.id), {}

    def stop_signal(self, row: InstanceRow) -> str:
        return "TERM"


class FakeSupervisor:
    """`before_start` may look at what is stored, or raise; calls about instances in `fails` raise."""

    def __init__(self) -> None:
        self.before_start: Callable[[str], None] = lambda name: None
        self.fails: dict[str, Exception] = {}
        self.alive: dict[str, Identity] = {}
        self.runs: dict[str, int] = {}
        self.told: list[str] = []
        self.hangs: set[str] = set()
        """Instances that signals do not come back from."""
        self.slow: dict[str, asyncio.Event] = {}
        """Instances that start once this is set."""

    async def start(self, launch: Launch, secrets: dict[str, str], run: int) -> Identity:
        name = str(launch)
        if name in self.slow:
            await self.slow[name].wait()
        self.before_start(name)
        if name in self.fails:
            raise self.fails[name]
        self.alive[name] = Identity(100 + len(self.alive), 1, "boot")
        self.runs[name] = run
        return self.alive[name]

    async def signal(self, name: str, signal: str) -> bool:
        return await self._tell(name)

    async def kill(self, name: str) -> bool:
        return await self._tell(name)

    async def _tell(self, name: str) -> bool:
        if name in self.fails:
            raise self.fails[name]
        if name in self.hangs:
            await asyncio.Event().wait()
        self.told.append(name)
        return name in self.alive

    def running(self) -> dict[str, Identity]:
        return dict(self.alive)

    def run_of(self, name: str) -> int | None:
        return self.runs.get(name)


class Rig:
    """One service `shop.web`, and instances of it."""

    def __init__(self, home: Path) -> None:
        self.paths = Paths.find({"FOURFOLD_HOME": str(home)}, 0)
        layout.create(self.paths, root=False)
        self.clock = FixedClock()
        self.refused = 0
        """Commits."""
        self.store = open_in(self.paths, self.clock)
        self.store.releases.add(release("web", 1, spec=SPEC))
        add_service(self.store, service_row("web", internal_port=19000))
        self.registry = Registry(self.store)
        self.bus = Bus(self.store.events, Faults({}))
        self.registry.refused = self.bus.refuse
        self.executor = Executor(self.registry, self.bus, self.clock)
        self.starter = FakeStarter(self.registry)
        self.supervisor = FakeSupervisor()
        self.lifecycle = Lifecycle(
            self.registry, self.executor, cast(Starter, self.starter), cast(Supervisor, self.supervisor),
            self.bus, self.clock, lambda: None,
        )  # fmt: skip
        self.readiness = Readiness(self.registry, self.bus, self.clock, lambda: None, self.lifecycle.came_up)
        self.adopting = Adopting(
            self.registry, self.executor, cast(Supervisor, self.supervisor), self.lifecycle, self.clock
        )

    def add(self, *names: str, **given: Any) -> None:
        with self.registry.transaction():
            for name in names:
                fields: dict[str, Any] = {"state": "starting", "run": 1}
                self.registry.put_instance(instance(name, **(fields | given)))

    def state(self, name: str) -> str:
        return self.registry.instances[name].state

    def stored(self, name: str) -> InstanceRow:
        row = self.store.instances.get(name)
        assert row is not None
        return row

    def refuse_commits(self) -> Callable[[], None]:
        """As a full disk would; gives what ends it."""
        database = self.store.database
        whole = database.transaction

        def full() -> Any:
            self.refused += 1
            raise WorldError("cannot write the store: its disk is full")

        database.transaction = full  # type: ignore[method-assign]

        def end() -> None:
            database.transaction = whole  # type: ignore[method-assign]

        return end


async def eventually(condition: Callable[[], bool]) -> None:
    """For what nothing is told of."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


def rigged(test: Callable[[Rig], Awaitable[None]]) -> Callable[[Path], None]:
    """Run a test inside an event loop, with a Rig of its own."""

    def wrapped(tmp_path: Path) -> None:
        async def run() -> None:
            rig = Rig(tmp_path)
            await test(rig)
            rig.store.database.close()

        asyncio.run(run())

    wrapped.__name__, wrapped.__doc__ = test.__name__, test.__doc__
    return wrapped
