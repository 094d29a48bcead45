"""Sources: a manifest of digests first, then only the blobs that are not there yet."""

from __future__ import annotations

from typing import Any

from fastapi import Request

from fourfold.api.deps import TheFacade
from fourfold.api.resource import resource
from fourfold.api.shapes import Offer
from fourfold.api.text import pieces

router = resource("sources")


@router.post("/v1/sources")
async def offer_source(facade: TheFacade, manifest: dict[str, Any]) -> Offer:
    """Offer a source by its manifest. It can be used once nothing is missing any more."""
    digest, missing = await facade.offer_source(manifest)
    return Offer(digest=digest, missing=missing)


@router.post(
    "/v1/blobs",
    status_code=204,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def send_blobs(facade: TheFacade, request: Request) -> None:
    """Send contents: for each a line `SHA256 SIZE`, then that many bytes. Refused when they have another SHA-256."""
    await facade.receive_blobs(pieces(request))
