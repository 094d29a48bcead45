"""Runs of jobs, and events that were given up."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import Query, Response

from fourfold.api.deps import TheFacade, TheStreams
from fourfold.api.errors import as_line
from fourfold.api.resource import lines, resource
from fourfold.api.shapes import MOST, ReplayBody, RunBody
from fourfold.clock import rfc3339
from fourfold.control.views import FailedView, ReplayedView, RunView
from fourfold.supervise.model import LogLine

router = resource("runs")

LINES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "One such object per line; the last one is a RunView and says how it ended. A last line with "
        "`error` instead says why the stream broke off.",
        "content": lines("LogLineBody", "RunView"),
    }
}


@router.post("/v1/apps/{app}/services/{service}/runs", status_code=202)
async def start_run(facade: TheFacade, app: str, service: str, body: RunBody) -> RunView:
    """Start a run of a job. Follow it with `GET …/runs/{run}/follow`."""
    return await facade.start_run(app, service, body.event, body.actor)


@router.get("/v1/apps/{app}/runs")
async def runs(facade: TheFacade, app: str, service: str | None = None) -> list[RunView]:
    """Runs of the app's jobs, newest first, those under way included."""
    return await facade.runs(app, service)


@router.get("/v1/apps/{app}/runs/{run}/follow", response_class=Response, responses=LINES)
async def follow_run(
    facade: TheFacade,
    streams: TheStreams,
    app: str,
    run: str,
    skip: Annotated[int, Query(ge=0, le=MOST, description="Leave out so many lines: those that were had before")] = 0,
) -> Response:
    """What a run writes, until it has ended with all its tries."""
    source = facade.follow_run(app, run, skip)

    def encode(item: LogLine | RunView) -> str:
        if isinstance(item, RunView):
            return item.model_dump_json() + "\n"
        return json.dumps({"instance": run, "at": rfc3339(item.at), "text": item.text}) + "\n"

    return await streams.answer(source, encode, lambda error: as_line(error) + "\n", "application/x-ndjson", True)


@router.get("/v1/apps/{app}/failed-events")
async def failed_events(facade: TheFacade, app: str, service: str | None = None) -> list[FailedView]:
    """Events that were given up: too old, or failed too often. Newest first; kept for 14 days."""
    return await facade.failed_events(app, service)


@router.post("/v1/apps/{app}/failed-events/replay", status_code=202)
async def replay_events(facade: TheFacade, app: str, body: ReplayBody) -> ReplayedView:
    """Deliver given up events once more, with their own ids, as if they came now."""
    return ReplayedView(ids=await facade.replay_events(app, body.service, body.ids, body.actor))
