"""Which operation a request is for: signatures first, then the table of routes; whatever fails is an answer too."""

from __future__ import annotations

import asyncio
import hmac
import logging
import uuid
from collections.abc import Callable
from urllib.parse import unquote

from fourfold.api.aws import (
    async_config,
    concurrency,
    event_sources,
    functions,
    invoke,
    policy_tags,
    urls,
    versions_aliases,
)
from fourfold.api.aws.call import Call, Route, Site, read_body, read_query
from fourfold.api.aws.errors import ApiError, from_ours
from fourfold.api.aws.http import Limit, Request, Response
from fourfold.api.aws.sigv4 import Signed, Verifier
from fourfold.errors import FourfoldError

log = logging.getLogger(__name__)

LARGE = 256 * 1024
"""Bytes of a body that are not looked at while others wait."""
MOST_BODY = 71_000_000
"""Of CreateFunction: a zip of 50 MB as base64."""
_CODE = "/code/"
ROUTES: list[Route] = [
    route
    for resource in (
        functions, versions_aliases, event_sources, urls, concurrency, async_config, policy_tags,
    )
    for route in resource.ROUTES
]  # fmt: skip


def limit_for(key: str) -> Limit:
    """Bytes of a body: those with a zip may be large, for whoever knows the id of the key; it is looked at later."""

    def limit(target: str, authorization: str) -> int:
        path = target.partition("?")[0]
        return MOST_BODY if path.endswith(("/functions", "/code")) and key in authorization else invoke.MOST

    return limit


class Api:
    """`now` is the clock that signatures are held against."""

    def __init__(self, site: Site, verifier: Verifier, now: Callable[[], float]) -> None:
        self._site = site
        self._verifier = verifier
        self._now = now

    async def handle(self, request: Request) -> Response:
        request_id = str(uuid.uuid4())
        try:
            return await self._answer(request, request_id)
        except ApiError as error:
            return _refusal(error, request_id)
        except FourfoldError as error:
            return _refusal(from_ours(error), request_id)
        except Exception:
            log.exception("unexpected error %s", request_id)
            what = f"unexpected error in the daemon; its log has the details: look for {request_id}"
            return _refusal(ApiError(500, "ServiceException", what, kind="Service"), request_id)

    async def _answer(self, request: Request, request_id: str) -> Response:
        site = self._site
        host = request.header("host")
        if urls.HOST in host:
            return await urls.serve(site, request, self._verifier, host, request_id)
        path, _, query = request.target.partition("?")
        if request.method == "GET" and path.startswith(_CODE):
            return await self._code(request, path, query, request_id)
        signed = Signed(request.method, path, query, request.headers, request.body)
        if len(request.body) < LARGE:
            self._verifier.verify(signed, self._now())
        else:
            await asyncio.to_thread(self._verifier.verify, signed, self._now())
        if request.method == "POST":
            if path.endswith(invoke.SUFFIX) and path.startswith(invoke.PREFIX):
                return await invoke.invoke(site, request, path, query, request_id)
            if path.endswith(invoke.STREAM_SUFFIX) and path.startswith(invoke.STREAM_PREFIX):
                return await invoke.stream(site, request, path, query, request_id)
        response = await self._operation(request, path, query, request_id)
        response.headers = (*response.headers, ("x-amzn-RequestId", request_id))
        return response

    async def _operation(self, request: Request, path: str, query: str, request_id: str) -> Response:
        parts = [unquote(part) for part in path.rstrip("/").split("/")]
        for route in ROUTES:
            if (found := route.match(request.method, parts)) is not None:
                body = await asyncio.to_thread(read_body, request) if len(request.body) > LARGE else read_body(request)
                call = Call(self._site, request, found, read_query(query), request_id, body)
                return await route.handler(call)
        what = f"cannot serve {request.method} {path[:200]}: there is no such operation here"
        raise ApiError(404, "UnknownOperationException", what)

    async def _code(self, request: Request, path: str, query: str, request_id: str) -> Response:
        """A link that GetFunction gave is a proof by itself."""
        source = path[len(_CODE) :].partition("/")[0]
        if not hmac.compare_digest(query.encode("latin-1"), self._site.sign(source).encode()):
            raise ApiError(403, "AccessDenied", "Access Denied")
        return await functions.download(Call(self._site, request, {"source": source}, (), request_id))


def _refusal(error: ApiError, request_id: str) -> Response:
    headers = (
        ("Content-Type", "application/json"),
        ("x-amzn-ErrorType", error.code),
        ("x-amzn-RequestId", request_id),
    )
    return Response(error.status, error.body(), headers)
