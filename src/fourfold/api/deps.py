"""What handlers ask for: the facade, as its caller sees it, and the open streams."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import Depends
from starlette.requests import HTTPConnection

from fourfold.api.acting import KEPT, acting
from fourfold.api.streams import Streams
from fourfold.control.facade import Facade


def _facade(connection: HTTPConnection) -> Facade:
    facade = cast(Facade, connection.app.state.facade)
    caller = connection.scope.get(KEPT)
    return facade if caller is None else acting(facade, caller)


def _streams(connection: HTTPConnection) -> Streams:
    return Streams.of(connection.app)


TheFacade = Annotated[Facade, Depends(_facade)]
TheStreams = Annotated[Streams, Depends(_streams)]
