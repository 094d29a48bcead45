"""The daemon and its machine."""

from __future__ import annotations

import asyncio
import os
import pwd
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

from fourfold import __version__
from fourfold.clock import rfc3339
from fourfold.control import views as v
from fourfold.control.reporting.doctor import examine
from fourfold.control.reporting.top import top
from fourfold.control.requests.base import Requests

if TYPE_CHECKING:
    from fourfold.control.keeping.request import BackupRequest


def _user(uid: int) -> str:
    """Not by its environment, which is that of whoever started it; some have no name."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


class Machine(Requests):
    async def info(self) -> v.InfoView:
        spawner = self._parts.supervisor.spawner
        return v.InfoView(
            version=__version__,
            pid=self._parts.pid,
            user=_user(os.geteuid()),
            home=str(self._parts.paths.state),
            apps=sorted(name for name, row in self._parts.registry.apps.items() if row.candidate_of is None),
            started_at=rfc3339(self._started_at),
            lambda_api=self._parts.status.lambda_api,
            region=self._parts.settings.region,
            spawner=v.SpawnerView(pid=spawner.pid, version=spawner.version) if spawner is not None else None,
        )

    async def top(self, app: str | None) -> list[v.TopRow]:
        if app is not None:
            self._parts.status.need_app(app)
        return await top(self._parts, app)

    async def metrics(self) -> str:
        from fourfold.control.metrics.scrape import scrape  # for those who are asked for them

        return await scrape(self._parts)

    async def gc(self, actor: str = "") -> v.GcView:
        view = await self._parts.sweeper.collect()
        what = f"what nothing needs was removed: {view.freed_bytes} bytes are free again"
        self._parts.bus.emit("daemon.gc", what, actor=actor or None, removed=view.removed)
        return view

    async def doctor(self) -> list[v.CheckView]:
        await self._parts.trials.look_anew()
        checks = await asyncio.to_thread(examine, self._parts.paths, self._parts.supervisor.powers)
        listener = self._parts.access.listener
        return [
            *checks,
            *self._unserved(),
            *([listener()] if listener is not None else []),
            *self._parts.notifying.hooks.checks(),
        ]

    def _unserved(self) -> Iterator[v.CheckView]:
        for app in self._parts.registry.apps:
            if self._parts.status.gateway_url(app) and (why := self._parts.traffic.problem(app)):
                said = f"the gateway does not serve {app}: {why}"
                yield v.CheckView(name="routes", state="failed", message=said, hint="see: fourfold logs gateway")

    async def backup(self, request: BackupRequest) -> AsyncIterator[bytes]:
        from fourfold.control.keeping.keeping import backup  # for those who ask

        return await backup(self._parts, request)

    async def shutdown(self, actor: str = "") -> None:
        self._parts.bus.emit("daemon.stopping", "the daemon was told to end", actor=actor or None)
        self._stop.set()
