"""Comparisons: a service measured under several patterns, beside the one that runs."""

from __future__ import annotations

from fourfold.api.deps import TheFacade
from fourfold.api.resource import resource
from fourfold.control.comparing.request import CompareRequest
from fourfold.control.views import OperationView
from fourfold.cost.comparison import Comparison

router = resource("comparisons")


@router.post("/v1/apps/{app}/services/{service}/compare", status_code=202)
async def compare(facade: TheFacade, app: str, service: str, request: CompareRequest) -> OperationView:
    """Measure the release that the service is on under several patterns, each as an app beside it that no user's
    request reaches and that is taken away again, also when the operation is cancelled."""
    return await facade.compare(app, service, request)


@router.get("/v1/apps/{app}/services/{service}/comparison")
async def comparison(facade: TheFacade, app: str, service: str) -> Comparison:
    """What the newest comparison of the service has measured."""
    return await facade.comparison(app, service)
