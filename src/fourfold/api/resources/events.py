"""Events: what happened, and what happens now as server-sent events (HTML Living Standard, section 9.2)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Annotated, Any

from fastapi import Header, Query, Response
from pydantic import StringConstraints

from fourfold.api.deps import Moment, TheFacade, TheStreams, seconds
from fourfold.api.errors import as_line
from fourfold.api.resource import resource
from fourfold.api.shapes import MOST
from fourfold.control.views import EventView
from fourfold.store.tables.events import Which

router = resource("events")

Kind = Annotated[str, StringConstraints(pattern=r"^[a-z*?-]+(\.[a-z*?-]+)*$", max_length=100)]

FOLLOWED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A list; with `follow` a stream of server-sent events, each with an EventView as its data and "
        "its `seq` as its id. An event of type `error` carries an ErrorBody and ends the stream.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}


@router.get("/v1/events", response_model=list[EventView], responses=FOLLOWED)
async def list_events(
    facade: TheFacade,
    streams: TheStreams,
    app: Annotated[str | None, Query(description="Only events of this app")] = None,
    after: Annotated[int, Query(ge=0, le=MOST, description="Only events with a greater seq")] = 0,
    operation: Annotated[str | None, Query(description="Only events of this operation")] = None,
    tail: Annotated[int | None, Query(ge=0, le=MOST, description="At most this many of the newest past ones")] = None,
    follow: Annotated[bool, Query(description="Go on with new ones as they happen")] = False,
    since: Annotated[Moment | None, Query(description="Not older: RFC 3339, or seconds since the epoch")] = None,
    kind: Annotated[
        Sequence[Kind], Query(max_length=100, description="Repeatable: `deploy.failed`, or a pattern: `deploy.*`")
    ] = (),
    last_event_id: Annotated[
        int, Header(ge=0, le=MOST, description="Of a client that connects again: as `after`, and `tail` is left out")
    ] = 0,
) -> Response:
    """Events in order of `seq`."""
    which = Which(tuple(kind), seconds(since))
    after, tail = max(after, last_event_id), None if last_event_id else tail
    source = facade.events(app, after, follow, operation, tail, which)
    if not follow:
        return await streams.answer(_array(source), str, as_line, "application/json", follow=False)
    return await streams.answer(source, _encode, _fail, "text/event-stream", follow=True)


async def _array(events: AsyncIterator[EventView]) -> AsyncIterator[str]:
    """A JSON array in pieces: there may be ten thousands of events, and others want answers meanwhile."""
    async with aclosing(events) as items:  # type: ignore[type-var]
        before = "["
        async for event in items:
            yield before + event.model_dump_json()
            before = ","
        yield "[]" if before == "[" else "]"


def _encode(event: EventView) -> str:
    return f"id: {event.seq}\ndata: {event.model_dump_json()}\n\n"


def _fail(error: BaseException) -> str:
    return f"event: error\ndata: {as_line(error)}\n\n"
