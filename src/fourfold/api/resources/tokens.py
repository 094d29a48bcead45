"""Tokens: who may use this API over the network."""

from __future__ import annotations

from fourfold.api.deps import TheFacade
from fourfold.api.resource import resource
from fourfold.control.access import NewTokenView, TokenRequest, TokenView

router = resource("tokens")


@router.get("/v1/tokens")
async def list_tokens(facade: TheFacade) -> list[TokenView]:
    """All tokens, without their secrets, which are not kept."""
    return await facade.tokens()


@router.post("/v1/tokens", status_code=201)
async def create_token(facade: TheFacade, body: TokenRequest) -> NewTokenView:
    """Make one. Its secret is answered this once; send it as `Authorization: Bearer SECRET`."""
    return await facade.create_token(body)


@router.delete("/v1/tokens/{token}", status_code=204)
async def remove_token(facade: TheFacade, token: str, actor: str = "") -> None:
    """It is good for nothing any more, at once: streams and programs that it holds open end too."""
    await facade.remove_token(token, actor)
