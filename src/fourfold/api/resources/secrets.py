"""Secrets: values go in and never come out."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

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


@router.delete("/v1/apps/{app}/secrets", status_code=204)
async def remove_secrets(
    facade: TheFacade, app: str, name: Annotated[list[str], Query(min_length=1)], actor: str = ""
) -> None:
    """Forget those named (`?name=A&name=B`), all or none; refused while a service needs one."""
    await facade.remove_secrets(app, name, actor)
