"""What handlers ask for: the facade, as its caller sees it, and the open streams; a moment as seconds."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, cast

from fastapi import Depends
from pydantic import WithJsonSchema
from starlette.requests import HTTPConnection

from fourfold.api.network.acting import KEPT, acting
from fourfold.api.streams import Streams
from fourfold.control.facade import Facade
from fourfold.errors import UserError


def _facade(connection: HTTPConnection) -> Facade:
    facade = cast(Facade, connection.app.state.facade)
    caller = connection.scope.get(KEPT)
    return facade if caller is None else acting(facade, caller)


def _streams(connection: HTTPConnection) -> Streams:
    return Streams.of(connection.app)


TheFacade = Annotated[Facade, Depends(_facade)]
TheStreams = Annotated[Streams, Depends(_streams)]

Moment = Annotated[datetime, WithJsonSchema({"anyOf": [{"type": "string", "format": "date-time"}, {"type": "number"}]})]
"""RFC 3339, or seconds since the epoch."""


def seconds(since: datetime | None) -> float | None:
    """Since the epoch. Raises UserError for a moment that has none: the first day of the year 1, in some zones."""
    try:
        return since.timestamp() if since is not None else None
    except (ValueError, OverflowError):
        raise UserError(f"cannot look back to {since}: that is too far away") from None
