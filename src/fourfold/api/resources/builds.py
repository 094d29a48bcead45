"""Builds: what a service is built into, without deploying it; as an image or a disk to take away, or pushed to a
registry.

The bodies are those of `up`. What was built once is there at once: ask for the build, follow it, then for its result.
"""

from __future__ import annotations

import base64
from typing import Annotated, Any

from fastapi import Query, Response
from fastapi.responses import StreamingResponse

from fourfold.api.deps import TheFacade
from fourfold.api.resource import resource
from fourfold.api.resources.apps import of
from fourfold.api.shapes import DiskBody, PushBody
from fourfold.control.views import ArtifactView, ImageView, OperationView, UpRequest

router = resource("builds")

ARCHIVE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A tar with an OCI image layout that `docker load` takes too. `Docker-Content-Digest` is the "
        "digest of its manifest.",
        "content": {"application/x-tar": {"schema": {"type": "string", "format": "binary"}}},
    }
}


DISK: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A disk that boots with BIOS and UEFI, or a zip. `Repr-Digest` (RFC 9530) has its SHA-256.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.post("/v1/apps/{app}/build", status_code=202)
async def build(
    facade: TheFacade,
    app: str,
    request: UpRequest,
    form: Annotated[
        str | None, Query(alias="format", description="Of what is asked for next: a disk's, or `oci`")
    ] = None,
) -> OperationView:
    """Build the services that `up` with the same body would run, all of them, and deploy none."""
    return await facade.build(of(app, request), form)


@router.post("/v1/apps/{app}/artifact")
async def artifact(facade: TheFacade, app: str, request: UpRequest) -> ArtifactView:
    """What the one service of the request is built into."""
    return await facade.artifact(of(app, request))


@router.post("/v1/apps/{app}/image", response_class=Response, responses=ARCHIVE)
async def image(facade: TheFacade, app: str, request: UpRequest) -> Response:
    """The one service of the request as an image."""
    content = await facade.image(of(app, request))
    headers = {"Docker-Content-Digest": f"sha256:{content.digest}", "Content-Length": str(content.size)}
    return StreamingResponse(content.pieces, media_type="application/x-tar", headers=headers)


@router.post("/v1/apps/{app}/disk", response_class=Response, responses=DISK)
async def disk(facade: TheFacade, app: str, body: DiskBody) -> Response:
    """The one service as a disk for other hypervisors, or a function as a zip for AWS Lambda. It holds no secrets."""
    made = await facade.disk(of(app, body.request), body.format)
    digest = base64.b64encode(bytes.fromhex(made.digest)).decode()
    headers = {"Repr-Digest": f"sha-256=:{digest}:", "Content-Length": str(made.size)}
    return StreamingResponse(made.pieces, media_type="application/octet-stream", headers=headers)


@router.post("/v1/apps/{app}/push")
async def push(facade: TheFacade, app: str, body: PushBody) -> ImageView:
    """Push the image of the one service to a registry, with the credentials that skopeo finds for the daemon's user."""
    return await facade.push(of(app, body.request), body.reference)
