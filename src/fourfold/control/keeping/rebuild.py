"""After a restore: what a backup does not have is built before anything is started, by the locks that it has.

Nothing is planned until then, so that no instance fails for want of its artifact and no deployment runs out of time. A
daemon that dies meanwhile leaves it to the next. What cannot be built keeps nothing else from coming up.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from fourfold.build.build import BuildRequest
from fourfold.clock import Clock
from fourfold.control.bus import Bus
from fourfold.control.deploying.building import Building
from fourfold.control.goals import pattern_of
from fourfold.control.operations import Operation, Operations
from fourfold.control.registry import Registry, key_of
from fourfold.errors import FourfoldError, WorldError
from fourfold.store.files.artifacts import Artifact
from fourfold.store.model import Build, ServiceRow

PENDING = "restore.pending"
"""In `meta`: this home was made of a backup, and what runs in it may have to be built first."""
ACTOR = "restore"


class Rebuild:
    def __init__(self, registry: Registry, building: Building, operations: Operations, bus: Bus, clock: Clock) -> None:
        self._registry = registry
        self._building = building
        self._operations = operations
        self._bus = bus
        self._clock = clock
        self._left: set[str] = set()
        """Apps that are not built yet."""
        self.done = asyncio.Event()
        """Set when things may be started: at once, but after a restore."""

    def begin(self) -> None:
        if (told := self._registry.store.meta.get(PENDING)) is None:
            self.done.set()
            return
        facts = json.loads(told)
        self._bus.emit("daemon.restored", f"restored from the backup of {facts['host']} made at {facts['made_at']}")
        rows = [row for row in self._registry.services.values() if self._is_wanted(row)]
        self._left = {row.app for row in rows}
        if not rows:
            self._finish()
        for app in sorted(self._left):
            names = sorted(row.name for row in rows if row.app == app)
            # A turn of its own: deployments that were under way have their app's, and wait for what is built here.
            turn = f"restore.{app}"
            self._operations.submit(app, "restore", ACTOR, names, partial(self._build_app, app, names), turn)

    def _is_wanted(self, row: ServiceRow) -> bool:
        app = self._registry.apps.get(row.app)
        return not (row.stopped or row.removed) and (app is None or app.candidate_of is None)

    async def _build_app(self, app: str, names: Sequence[str], operation: Operation) -> None:
        operation.firm = True  # what is not built cannot run: to cancel it is to stop the services
        try:
            failures = await asyncio.gather(*(self._build(f"{app}.{name}", operation) for name in names))
        except asyncio.CancelledError:
            raise  # the daemon ends: the next one goes on
        except BaseException:
            self._leave(app)
            raise
        self._leave(app)
        await self.done.wait()
        if failed := [each for each in failures if each is not None]:
            raise WorldError("; ".join(failed), f"see to it, then: fourfold up, or fourfold deploy NAME -a {app}")

    async def _build(self, key: str, operation: Operation) -> str | None:
        """-> why it could not be built. What is there already takes milliseconds."""
        row = self._registry.services.get(key)
        if row is None:
            return None
        source, pattern = self._registry.release(key, row.release).source, pattern_of(row)
        request = BuildRequest(row.app, row.name, self._registry.spec(key, row.release), source, pattern)
        try:
            with self._building.holding([source]):
                made = await self._building.build(operation, [request])
                self._store(row, pattern, made[row.name])
        except FourfoldError as error:
            return str(error)
        return None

    def _store(self, row: ServiceRow, pattern: str, made: Artifact) -> None:
        """On another machine it may be another one."""
        known = self._registry.build(key_of(row), row.release, pattern)
        if known is not None and (known.artifact, known.argv) == (made.digest, made.argv):
            return
        build = Build(row.app, row.name, row.release, pattern, made.digest, made.argv, self._clock.now())
        with self._registry.transaction():
            self._registry.put_build(build)

    def _leave(self, app: str) -> None:
        self._left.discard(app)
        if not self._left:
            self._finish()

    def _finish(self) -> None:
        """Deployments that were under way have all their time before them."""
        now = self._clock.now()
        with self._registry.transaction():
            self._registry.store.meta.remove(PENDING)
            for key in list(self._registry.services):
                if (deployment := self._registry.running_deployment(key)) is not None:
                    self._registry.put_deployment(replace(deployment, started_at=now, progressed_at=now))
        self.done.set()
