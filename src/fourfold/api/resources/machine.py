"""The machine and its daemon: info, top, gc, doctor, shutdown."""

from __future__ import annotations

from fastapi.responses import PlainTextResponse

from fourfold.api.deps import TheFacade
from fourfold.api.resource import resource
from fourfold.control.views import CheckView, GcView, InfoView, TopRow

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""As Prometheus' exposition formats have it."""

router = resource("machine")


@router.get("/v1/info")
async def info(facade: TheFacade) -> InfoView:
    """Which daemon answers: version, pid, user, home, apps."""
    return await facade.info()


@router.get("/v1/top")
async def top(facade: TheFacade, app: str | None = None) -> list[TopRow]:
    """What every instance takes now."""
    return await facade.top(app)


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(facade: TheFacade) -> PlainTextResponse:
    """What services, their instances and the daemon do and take, in Prometheus' text format."""
    return PlainTextResponse(await facade.metrics(), media_type=METRICS_TYPE)


@router.post("/v1/gc")
async def gc(facade: TheFacade, actor: str = "") -> GcView:
    """Remove what no release in use and none of the last five of a service needs."""
    return await facade.gc(actor)


@router.get("/v1/doctor")
async def doctor(facade: TheFacade) -> list[CheckView]:
    """What works on this host, what does not, and what to do about it."""
    return await facade.doctor()


@router.post("/v1/shutdown", status_code=202)
async def shutdown(facade: TheFacade, actor: str = "") -> None:
    """End the daemon. Instances, gateway and spawner go on; a new daemon adopts them."""
    await facade.shutdown(actor)
