"""What services took, what they cost, and which pattern fits them."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from fourfold.control import views as v
from fourfold.control.requests.base import Requests

if TYPE_CHECKING:
    from fourfold.control.advising.request import AdviceRequest
    from fourfold.control.comparing.comparing import Comparing
    from fourfold.control.comparing.request import CompareRequest
    from fourfold.cost.advice.model import Advice
    from fourfold.cost.comparison import Comparison


class Costs(Requests):
    @cached_property
    def _comparing(self) -> Comparing:
        """Imported by those who compare, not by every daemon that starts."""
        from fourfold.control.comparing.comparing import Comparing

        return Comparing(self._parts, self._bringing)

    async def cost(self, app: str, asked: v.CostRequest) -> v.CostView:
        self._need_usage(app, asked.service)
        return await self._parts.costing.view(app, asked)

    async def usage(self, app: str, service: str | None) -> v.UsageView:
        self._need_usage(app, service)
        return await self._parts.costing.usage(app, service)

    def _need_usage(self, app: str, service: str | None) -> None:
        known = self._parts.costing.services(app)  # `down` keeps what was taken
        if service is not None and service not in known:
            self._need(app, service)
        elif not known:
            self._parts.status.need_app(app)

    async def compare(self, app: str, service: str, request: CompareRequest) -> v.OperationView:
        return await self._comparing.compare(self._need(app, service), request)

    async def comparison(self, app: str, service: str) -> Comparison:
        self._need(app, service)
        return self._comparing.newest(app, service)

    async def advise(self, app: str, request: AdviceRequest) -> list[Advice]:
        from fourfold.control.advising.advising import (
            Advising,  # with its rules: for those who ask, not for every daemon
        )

        return await Advising(self._parts).advise(app, request)
