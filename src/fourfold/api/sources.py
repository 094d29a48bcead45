"""Sources: a manifest of digests first, then only the blobs that are not there yet."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from fourfold.api.deps import TheFacade
from fourfold.api.shapes import Digest, Offer

router = APIRouter(tags=["sources"])


@router.post("/v1/sources")
async def offer_source(facade: TheFacade, manifest: dict[str, Any]) -> Offer:
    """Offer a source by its manifest. It can be used once nothing is missing any more."""
    digest, missing = await facade.offer_source(manifest)
    return Offer(digest=digest, missing=missing)


@router.put(
    "/v1/blobs/{digest}",
    status_code=204,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def put_blob(facade: TheFacade, request: Request, digest: Digest) -> None:
    """Send one file's bytes. Refused when they do not have this SHA-256."""
    await facade.put_blob(digest, request.stream())
