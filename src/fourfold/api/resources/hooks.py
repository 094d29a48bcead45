"""Webhooks of an app: how they do, and a test of them."""

from __future__ import annotations

from fourfold.api.deps import TheFacade
from fourfold.api.resource import resource
from fourfold.api.shapes import Acted
from fourfold.control.views import HookTestView, HookView

router = resource("hooks")


@router.get("/v1/apps/{app}/hooks")
async def list_hooks(facade: TheFacade, app: str) -> list[HookView]:
    """Where events of the app are sent to, and whether they are taken."""
    return await facade.hooks(app)


@router.post("/v1/apps/{app}/hooks/test")
async def test_hooks(facade: TheFacade, app: str, body: Acted) -> list[HookTestView]:
    """Send a test event to each, once, and tell what came of it."""
    return await facade.test_hooks(app, body.actor)
