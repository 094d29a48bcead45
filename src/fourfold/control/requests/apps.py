"""Apps: brought up, taken down, looked at."""

from __future__ import annotations

import asyncio
from functools import partial

from fourfold.control import views as v
from fourfold.control.deploying.changes import Change
from fourfold.control.deploying.stagewords import strategy
from fourfold.control.goals import count_of
from fourfold.control.requests.base import Requests
from fourfold.spec.model import Service


class Apps(Requests):
    async def apps(self) -> list[v.AppView]:
        return self._parts.status.apps()

    async def status(self, app: str) -> v.StatusView:
        view = self._parts.status.app(app)
        invokers = [each for service in view.services for each in service.instances if each.pattern == "function"]
        if invokers:
            await asyncio.gather(*(self._look_into(each) for each in invokers if each.state in ("ready", "draining")))
        return view

    async def _look_into(self, instance: v.InstanceView) -> None:
        if (state := await self._parts.invoking.state(instance.id)) is not None:
            instance.sandboxes = v.SandboxesView(states=state["sandboxes"], waiting=state["waiting"])

    async def plan(self, request: v.UpRequest) -> v.PlanView:
        app, wishes, changes = await self._bringing.consider(request)
        specs = {wish.name: wish.spec for wish in wishes}
        views = [self._change_view(app.app, change, specs.get(change.service)) for change in changes]
        return v.PlanView(app=app.app, changes=views)

    def _change_view(self, app: str, change: Change, spec: Service | None) -> v.ChangeView:
        row = self._parts.registry.services.get(f"{app}.{change.service}")
        return v.ChangeView(
            service=change.service,
            action=change.kind,
            reasons=list(change.reasons),
            release=row.release if row else None,
            instances=count_of(row) if row else 0,
            overrides=row.overrides if row else {},
            strategy=strategy(spec.deploy) if spec is not None and row and change.kind == "deploy" else None,
        )

    async def up(self, request: v.UpRequest) -> v.OperationView:
        return await self._bringing.up(request)

    async def down(self, app: str, purge: bool, actor: str) -> v.OperationView:
        parts = self._parts
        if not (purge and parts.down.leaves(app)):
            parts.status.need_app(app)
        names = [row.name for row in parts.registry.of_app(app)]
        return parts.operations.submit(app, "down", actor, names, partial(parts.down.run, app, purge))
