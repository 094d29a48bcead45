"""Secrets: values go in and never come out."""

from __future__ import annotations

from fourfold.api.deps import TheFacade
from fourfold.api.resource import resource
from fourfold.api.shapes import SecretsBody
from fourfold.control.views import SecretView

router = resource("secrets")


@router.get("/v1/apps/{app}/secrets")
async def list_secrets(facade: TheFacade, app: str) -> list[SecretView]:
    """Names and when each was last set. Never values."""
    return await facade.secrets(app)


@router.put("/v1/apps/{app}/secrets", status_code=204)
async def set_secrets(facade: TheFacade, app: str, body: SecretsBody) -> None:
    """Set one or more, all or none. Running instances keep the old values until the next `up` or `restart`."""
    await facade.set_secrets(app, body.values, body.actor)


@router.delete("/v1/apps/{app}/secrets/{name}", status_code=204)
async def remove_secret(facade: TheFacade, app: str, name: str, actor: str = "") -> None:
    """Forget one; refused while a service needs it."""
    await facade.remove_secret(app, name, actor)
