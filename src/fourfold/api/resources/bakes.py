"""The bakery: builds in a queue, for whoever has a source and wants an image, a disk or a zip of it.

What was made is taken by the build's id or by its digest, in parts if need be (RFC 9110, section 14).
"""

from __future__ import annotations

import base64
import re
from typing import Annotated, Any

from fastapi import Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

from fourfold.api.deps import TheFacade
from fourfold.api.network.rights import VALUES
from fourfold.api.resource import ERROR, resource
from fourfold.api.text import has_more, pieces
from fourfold.control.bakery.door import Taken
from fourfold.control.bakery.shapes import BakeRequest, BakeView, UploadQuery
from fourfold.errors import TooLargeError, UserError

router = resource("bakery")

MOST_JSON = 4 * 1024 * 1024
"""Bytes of a request that is no source."""
_BYTES = re.compile(rb"\s*bytes\s*=", re.IGNORECASE)
_BINARY = {"schema": {"type": "string", "format": "binary"}}
BODY = {
    "requestBody": {
        "required": True,
        "description": "A build as JSON; or a source: a tar, plain or compressed with gzip or zstd, or a zip, under "
        "any other media type",
        "content": {
            "application/json": {"schema": BakeRequest.model_json_schema(ref_template="#/components/schemas/{model}")},
            "application/octet-stream": _BINARY,
        },
    }
}
FILE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The file. `ETag` is its SHA-256, `Repr-Digest` the same (RFC 9530).",
        "content": {"application/octet-stream": _BINARY},
    },
    206: {
        "description": "The part of it that `Range` asks for; of several a body of several parts",
        "content": {"application/octet-stream": _BINARY, "multipart/byteranges": _BINARY},
    },
    304: {"description": "The client has it: `If-None-Match` names its `ETag`"},
    416: {"description": "The file has no such part; `Content-Range` says how long it is", **ERROR},
}
PARTS = {
    "parameters": [
        {"name": name, "in": "header", "description": what, "schema": {"type": "string"}}
        for name, what in {
            "Range": "`bytes=1000-`: only that part. Another unit than bytes counts for nothing",
            "If-Range": "An `ETag`: the part of that file, and all of any other",
            "If-None-Match": "`ETag`s of files that need not be sent",
        }.items()
    ]
}


@router.post("/v1/builds", status_code=202, openapi_extra=BODY)
async def bake(facade: TheFacade, request: Request, query: Annotated[UploadQuery, Query()]) -> BakeView:
    """Queue a build: of a source that comes along as a tar (`curl --data-binary @src.tar.gz`), with a `fourfold.yaml`
    at its top or with what a build needs in the query; or, as JSON, of a source that was sent before."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        raise UserError("cannot take the source: it is a form", "send the tar itself: curl --data-binary @src.tar.gz")
    if kind != "application/json":
        return await facade.bakery.upload(query, pieces(request))
    try:
        wanted = BakeRequest.model_validate_json(await _bounded(request))
    except ValidationError as error:
        raise RequestValidationError([{**each, "loc": ("body", *each["loc"])} for each in error.errors()]) from error
    return await facade.bakery.submit(wanted)


@router.get("/v1/builds")
async def list_bakes(
    facade: TheFacade,
    actor: Annotated[str | None, Query(description="Only those of this user")] = None,
    app: Annotated[str | None, Query(description="Only those of this app")] = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="At most this many of the newest")] = 100,
) -> list[BakeView]:
    """Builds, newest first: those that wait or are made, and those that are still kept."""
    return await facade.bakery.list(actor, app, limit)


@router.get("/v1/builds/{build}")
async def show_bake(facade: TheFacade, build: str) -> BakeView:
    """One build, and its place in the queue."""
    return await facade.bakery.get(build)


@router.delete("/v1/builds/{build}", status_code=204)
async def remove_bake(facade: TheFacade, build: str, actor: str = "") -> None:
    """Cancel a build that waits or is made: nothing of it is left. Forget one that has ended, and its file."""
    await facade.bakery.remove(build, actor)


@router.get("/v1/builds/{build}/artifact", response_class=Response, responses=FILE, openapi_extra=PARTS)
async def take_bake(facade: TheFacade, request: Request, build: str) -> Response:
    """What a build has made; 409 as long as it is not done."""
    return _answer(request, await facade.bakery.take(build))


@router.get("/v1/artifacts/{digest}", response_class=Response, responses=FILE, openapi_extra=PARTS)
async def take_artifact(facade: TheFacade, request: Request, digest: str) -> Response:
    """The same by the file's SHA-256 in hex."""
    return _answer(request, await facade.bakery.take_digest(digest))


def _answer(request: Request, taken: Taken) -> Response:
    etag = f'"{taken.digest}"'
    digest = base64.b64encode(bytes.fromhex(taken.digest)).decode()
    headers = {"ETag": etag, "Repr-Digest": f"sha-256=:{digest}:", "Cache-Control": "private, immutable"}
    if etag in [each.strip() for each in request.headers.get("if-none-match", "").split(",")]:
        return Response(status_code=304, headers=headers)
    return _File(taken.path, filename=taken.name, media_type="application/octet-stream", headers=headers)


class _File(FileResponse):
    """Starlette's, which refuses in words of its own whatever it makes nothing of."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def unless_refused(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] >= 400:
                raise HTTPException(416, headers={"Content-Range": f"bytes */{self.headers['content-length']}"})
            await send(message)

        understood = [each for each in scope["headers"] if each[0] != b"range" or _BYTES.match(each[1])]
        await super().__call__({**scope, "headers": understood}, receive, unless_refused)


async def _bounded(request: Request) -> bytes:
    body = bytearray()
    async for piece in pieces(request):
        body += piece
        if len(body) > MOST_JSON:
            raise TooLargeError(f"cannot read the request: it has more than {MOST_JSON:,} bytes")
    if has_more(bytes(body), VALUES):
        raise TooLargeError(f"cannot read the request: its JSON has more than {VALUES:,} values")
    return bytes(body)
