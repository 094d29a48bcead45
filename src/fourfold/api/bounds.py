"""What every request has to keep to, on whichever listener it came: the size of its body, and names that are names.

A path such as `/v1/apps/..%2f..%2fetc` never comes to a handler.
"""

from __future__ import annotations

import re

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fourfold.api.matching import match
from fourfold.api.rights import MOST_NAME, NAME
from fourfold.api.sending import refuse
from fourfold.errors import NotFoundError

_NAME = re.compile(NAME[1:-1])


class Bounds:
    """Around everything that `api` answers. `api` is FastAPI's application, which knows the routes."""

    def __init__(self, app: ASGIApp, api: FastAPI) -> None:
        self._app = app
        self._api = api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket") or (found := match(self._api, scope)) is None:
            await self._app(scope, receive, send)
            return
        for parameter, value in found.parameters.items():
            if len(value) > MOST_NAME or not _NAME.fullmatch(value):
                what = f"cannot find {parameter} {value[:40]!r}: that is not the name of one"
                await refuse(scope, receive, send, NotFoundError(what, "names are letters, digits and . _ -"))
                return
        most = found.rule.body
        if scope["type"] != "http" or most is None:
            await self._app(scope, receive, send)
        elif _length(scope) > most:
            await refuse(scope, receive, send, too_large(most), close=True)
        else:
            await self._app(scope, _Counted(receive, most).receive, send)


class _Counted:
    """A body that does not say how long it is."""

    def __init__(self, receive: Receive, most: int) -> None:
        self._receive = receive
        self._left = most
        self._most = most

    async def receive(self) -> Message:
        message = await self._receive()
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise too_large(self._most)
        return message


def too_large(most: int) -> HTTPException:
    return HTTPException(413, f"its body is longer than the {most} bytes that it may have", {"Connection": "close"})


def _length(scope: Scope) -> int:
    """What it says of its body; 0: nothing."""
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value)  # the server has refused what is no number
    return 0
