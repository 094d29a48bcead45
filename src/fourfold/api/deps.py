"""What handlers ask for: the facade and the open streams."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import Depends
from starlette.requests import HTTPConnection

from fourfold.api.streams import Streams
from fourfold.control.facade import Facade


def _facade(connection: HTTPConnection) -> Facade:
    return cast(Facade, connection.app.state.facade)


def _streams(connection: HTTPConnection) -> Streams:
    return Streams.of(connection.app)


TheFacade = Annotated[Facade, Depends(_facade)]
TheStreams = Annotated[Streams, Depends(_streams)]
