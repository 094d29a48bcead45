"""Routes of an app, its certificate, and pages in its place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fourfold.control import views as v
from fourfold.control.requests.base import Requests
from fourfold.gateway.model import RouteStats

if TYPE_CHECKING:
    from fourfold.control.routing.maintaining import Page


class Gateway(Requests):
    async def routes(self, app: str) -> list[v.RouteView]:
        self._parts.status.need_app(app)
        found = await self._parts.gateway.stats()
        return [route_view(each) for each in found if each.service.partition(".")[0] == app]

    async def begin_maintenance(self, app: str, services: Sequence[str], page: Page, actor: str) -> list[str]:
        self._parts.status.need_app(app)
        return await self._parts.maintaining.begin(app, services, page, actor)

    async def end_maintenance(self, app: str, services: Sequence[str], actor: str) -> list[str]:
        self._parts.status.need_app(app)
        return await self._parts.maintaining.end(app, services, actor)

    async def certificate(self, app: str) -> v.CertificateView:
        self._parts.status.need_app(app)
        return await self._parts.certificates.view(app)

    async def renew_certificate(self, app: str, chain: bytes, key: bytes, actor: str) -> v.CertificateView:
        self._parts.status.need_app(app)
        await self._parts.certificates.renew(app, chain, key, actor)
        return await self._parts.certificates.view(app)


def route_view(stats: RouteStats) -> v.RouteView:
    return v.RouteView(
        service=stats.service.partition(".")[2],
        route=stats.route,
        requests=stats.requests,
        errors_5xx=stats.errors_5xx,
        errors_4xx=stats.errors_4xx,
        in_flight=stats.in_flight,
        response_seconds=stats.response_seconds,
        refused=stats.refused,
    )
