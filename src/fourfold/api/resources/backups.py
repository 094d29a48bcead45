"""Backups: all that cannot be made again, as one stream."""

from __future__ import annotations

from typing import Any

from fastapi import Response
from fastapi.responses import StreamingResponse

from fourfold.api.deps import TheFacade
from fourfold.api.resource import resource
from fourfold.control.keeping.request import BackupRequest

router = resource("backups")

TAR: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A tar; its last member is `SHA256SUMS`. One that breaks off before is none.",
        "content": {"application/x-tar": {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.post("/v1/backup", response_class=Response, responses=TAR)
async def backup(facade: TheFacade, request: BackupRequest) -> Response:
    """Everything that cannot be made again, while services go on. `fourfold restore` makes a home of it."""
    return StreamingResponse(await facade.backup(request), media_type="application/x-tar")
