"""Apps: list, status, plan, up, down, history, routes."""

from __future__ import annotations

import asyncio
from typing import Any

from fourfold.api.deps import TheFacade
from fourfold.api.resource import resource
from fourfold.api.shapes import DownBody
from fourfold.control.deploying.checks import read_app
from fourfold.control.views import (
    AppView,
    OperationView,
    PlanView,
    ReleaseView,
    RouteView,
    StatusView,
    UpRequest,
)
from fourfold.errors import UserError

router = resource("apps")


@router.get("/v1/apps")
async def list_apps(facade: TheFacade) -> list[AppView]:
    """All apps that this daemon knows."""
    return await facade.apps()


@router.get("/v1/apps/{app}")
async def status(facade: TheFacade, app: str) -> StatusView:
    """Every service of the app with its instances, deployment, routes and overrides."""
    return await facade.status(app)


@router.post("/v1/apps/{app}/check", status_code=204)
async def check(app: str, spec: dict[str, Any]) -> None:
    """Judge the `spec` of an UpRequest: refused with everything that is wrong in it. Changes nothing."""
    await asyncio.to_thread(read_app, spec)


@router.post("/v1/apps/{app}/plan")
async def plan(facade: TheFacade, app: str, request: UpRequest) -> PlanView:
    """What `up` with the same body would do, and why. Changes nothing."""
    return await facade.plan(of(app, request))


@router.post("/v1/apps/{app}/up", status_code=202)
async def up(facade: TheFacade, app: str, request: UpRequest) -> OperationView:
    """Bring the app to what its file says. The sources must have been sent before."""
    return await facade.up(of(app, request))


@router.post("/v1/apps/{app}/down", status_code=202)
async def down(facade: TheFacade, app: str, body: DownBody) -> OperationView:
    """Stop everything and forget the app; volumes, secrets and history are kept unless `purge`."""
    return await facade.down(app, body.purge, body.actor)


@router.get("/v1/apps/{app}/history")
async def history(facade: TheFacade, app: str, service: str | None = None) -> list[ReleaseView]:
    """Releases, newest first: who made each, when, from which commit, and how its deployments ended."""
    return await facade.history(app, service)


@router.get("/v1/apps/{app}/routes")
async def routes(facade: TheFacade, app: str) -> list[RouteView]:
    """What the gateway counted per service since the app came up."""
    return await facade.routes(app)


def of(app: str, request: UpRequest) -> UpRequest:
    """Raises UserError when the request is about another app than its path."""
    if (named := request.spec.get("app")) != app:
        raise UserError(f"cannot bring up {app}: the spec is of app {named}", "send it to the path of that app")
    return request
