"""What the gateway does for an app beside routing: maintenance, certificates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import Query

from fourfold.api.deps import TheFacade
from fourfold.api.resource import resource
from fourfold.api.shapes import CertificateBody, MaintenanceBody
from fourfold.control.routing.maintaining import Page
from fourfold.control.views import CertificateView

router = resource("gateway")


@router.put("/v1/apps/{app}/maintenance")
async def begin_maintenance(facade: TheFacade, app: str, body: MaintenanceBody) -> list[str]:
    """Answer 503 with a page in place of services, until it is ended; those that it is for. Answers once it is so."""
    page = Page(body.page, body.content_type, body.retry_after, tuple(body.allowed))
    return await facade.begin_maintenance(app, body.services, page, body.actor)


@router.delete("/v1/apps/{app}/maintenance")
async def end_maintenance(
    facade: TheFacade, app: str, service: Annotated[Sequence[str], Query()] = (), actor: str = ""
) -> list[str]:
    """Send requests to the services again (`?service=A&service=B`; none: all); those that were in maintenance."""
    return await facade.end_maintenance(app, list(service), actor)


@router.get("/v1/apps/{app}/certificate")
async def certificate(facade: TheFacade, app: str) -> CertificateView:
    """The one that is served: for which names, from whom, until when."""
    return await facade.certificate(app)


@router.put("/v1/apps/{app}/certificate")
async def renew_certificate(facade: TheFacade, app: str, body: CertificateBody) -> CertificateView:
    """Serve another one from now on, without an `up` and without losing a request. Answers once it is so."""
    return await facade.renew_certificate(app, body.certificate.encode(), body.key.encode(), body.actor)
