"""Logs: lines of all instances in order of time, one JSON object per line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Query, Response

from fourfold.api.deps import Moment, TheFacade, TheStreams, seconds
from fourfold.api.errors import as_line
from fourfold.api.resource import lines, resource
from fourfold.api.shapes import MOST
from fourfold.clock import rfc3339
from fourfold.supervise.model import LogLine

router = resource("logs")

LINES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "One such object per line. A last line with `error` instead says why the stream broke off.",
        "content": lines("LogLineBody"),
    }
}


@router.get("/v1/apps/{app}/logs", response_class=Response, responses=LINES)
async def read_logs(
    facade: TheFacade,
    streams: TheStreams,
    app: str,
    service: Annotated[Sequence[str], Query(description="Repeatable; none is all; `gateway` is its access log")] = (),
    since: Annotated[Moment | None, Query(description="RFC 3339, or seconds since the epoch")] = None,
    tail: Annotated[int | None, Query(ge=0, le=MOST, description="At most this many of the newest lines")] = None,
    previous: Annotated[bool, Query(description="Of the run before the last restart")] = False,
    follow: Annotated[bool, Query(description="Go on with new lines as they come")] = False,
) -> Response:
    """What the instances wrote to standard output and standard error."""
    source = facade.logs(app, service, seconds(since), tail, previous, follow)
    return await streams.answer(source, _encode, lambda error: as_line(error) + "\n", "application/x-ndjson", follow)


def _encode(item: tuple[str, LogLine]) -> str:
    instance, line = item
    return json.dumps({"instance": instance, "at": rfc3339(line.at), "text": line.text}) + "\n"
