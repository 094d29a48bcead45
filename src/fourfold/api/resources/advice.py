"""Advice: the pattern that fits each service, why, and what would change it."""

from __future__ import annotations

from fourfold.api.deps import TheFacade
from fourfold.api.resource import resource
from fourfold.control.advising.request import AdviceRequest
from fourfold.cost.advice.model import Advice

router = resource("advice")


@router.post("/v1/apps/{app}/advice")
async def advise(facade: TheFacade, app: str, request: AdviceRequest) -> list[Advice]:
    """Which pattern fits each service of a file, or of what runs. Changes nothing."""
    return await facade.advise(app, request)
