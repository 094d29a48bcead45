"""Services: scale, roll back, restart, stop, invoke, what they cost, explain."""

from __future__ import annotations

from fourfold.api.deps import TheFacade
from fourfold.api.resource import resource
from fourfold.api.shapes import (
    Acted,
    InvokeBody,
    InvokeLaterBody,
    PromoteBody,
    RollbackBody,
    ScaleBody,
    ScaleSeveralBody,
    ServicesBody,
)
from fourfold.control.views import (
    CostRequest,
    CostView,
    ExplainView,
    InvocationView,
    OperationView,
    QueuedView,
    UsageView,
)

router = resource("services")


@router.post("/v1/apps/{app}/scale", status_code=202)
async def scale_several(facade: TheFacade, app: str, body: ScaleSeveralBody) -> OperationView:
    """Set the numbers of instances of several services, or of none where one is refused."""
    return await facade.scale(app, body.instances, body.in_file, body.actor)


@router.post("/v1/apps/{app}/services/{service}/scale", status_code=202)
async def scale(facade: TheFacade, app: str, service: str, body: ScaleBody) -> OperationView:
    """Set the number of instances: an override, kept over `up` until it is reset, unless the file says so too."""
    return await facade.scale(app, {service: body.instances}, body.in_file, body.actor)


@router.post("/v1/apps/{app}/services/{service}/rollback", status_code=202)
async def rollback(facade: TheFacade, app: str, service: str, body: RollbackBody) -> OperationView:
    """Deploy an old release again, with today's secret values."""
    return await facade.rollback(app, service, body.to, body.actor)


@router.post("/v1/apps/{app}/services/{service}/promote", status_code=202)
async def promote(facade: TheFacade, app: str, service: str, body: PromoteBody) -> OperationView:
    """Let its deployment go on to the next step (canary), or switch (blue-green); 409 when it is at none.

    The answer is the operation that made the deployment.
    """
    return await facade.promote(app, service, body.full, body.actor)


@router.post("/v1/apps/{app}/services/{service}/abort", status_code=202)
async def abort(facade: TheFacade, app: str, service: str, body: Acted) -> OperationView:
    """Take its deployment back, whatever the strategy; 409 when none is under way.

    The answer is the operation that made the deployment: it fails, with the reason "aborted by ACTOR".
    """
    return await facade.abort(app, service, body.actor)


@router.post("/v1/apps/{app}/restart", status_code=202)
async def restart(facade: TheFacade, app: str, body: ServicesBody) -> OperationView:
    """Replace the instances of the release that runs, by a rolling deployment like any other."""
    return await facade.restart(app, body.services, body.actor)


@router.post("/v1/apps/{app}/stop", status_code=202)
async def stop(facade: TheFacade, app: str, body: ServicesBody) -> OperationView:
    """Drain and stop; the next `up`, `deploy` or `restart` starts them again."""
    return await facade.stop(app, body.services, body.actor)


@router.post("/v1/apps/{app}/services/{service}/invoke")
async def invoke(facade: TheFacade, app: str, service: str, body: InvokeBody) -> InvocationView:
    """Give it one event and wait for the answer. A service that fails with it is a success here: see `error`."""
    return await facade.invoke(app, service, body.payload.encode(), body.context, body.tail, body.release)


@router.post("/v1/apps/{app}/services/{service}/invoke-later", status_code=202)
async def invoke_later(facade: TheFacade, app: str, service: str, body: InvokeLaterBody) -> QueuedView:
    """Keep one event for it, which is delivered as soon as that is possible, with retries; a job is run with it."""
    return await facade.invoke_later(app, service, body.payload.encode(), body.context)


@router.get("/v1/apps/{app}/cost")
async def cost(
    facade: TheFacade, app: str, service: str | None = None, month: str | None = None, curves: bool = False
) -> CostView:
    """What services cost in a month under each pattern, and what functions took in one."""
    return await facade.cost(app, CostRequest(service=service, month=month, curves=curves))


@router.post("/v1/apps/{app}/cost")
async def cost_by(facade: TheFacade, app: str, body: CostRequest) -> CostView:
    """The same, at other prices. Changes nothing."""
    return await facade.cost(app, body)


@router.get("/v1/apps/{app}/usage")
async def usage(facade: TheFacade, app: str, service: str | None = None) -> UsageView:
    """What services took and answered in each hour of the last month, under which pattern."""
    return await facade.usage(app, service)


@router.get("/v1/apps/{app}/services/{service}/explain")
async def explain(facade: TheFacade, app: str, service: str) -> ExplainView:
    """Why the service is not well, most important finding first."""
    return await facade.explain(app, service)
