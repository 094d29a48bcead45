"""What every request has to keep to, on whichever listener it came: the size of its body, and names that are names.

A path such as `/v1/apps/..%2f..%2fetc` never comes to a handler.
"""

from __future__ import annotations

import re
from collections import Counter

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fourfold.api.errors import RETRY_AFTER
from fourfold.api.network.acting import KEPT
from fourfold.api.network.matching import match
from fourfold.api.network.rights import MIB, MOST_NAME, NAME
from fourfold.api.sending import refuse
from fourfold.errors import NotFoundError

_NAME = re.compile(NAME[1:-1])


MOST_HELD = 128 * MIB
"""Bytes of bodies that all requests of one token may hold in memory at once: four of the largest sources."""


class Bounds:
    """Around everything that `api` answers. `api` is FastAPI's application, which knows the routes."""

    def __init__(self, app: ASGIApp, api: FastAPI) -> None:
        self._app = app
        self._api = api
        self._held: Counter[str] = Counter()
        """By token; the socket's user, who has none, may hold what they like."""

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
            body = _Counted(receive, most, self._held, scope[KEPT].name if KEPT in scope else "")
            try:
                await self._app(scope, body.receive, send)
            finally:
                body.let_go()


class _Counted:
    """A body, which may not say how long it is. `held`: bytes by token, of which `token` holds these."""

    def __init__(self, receive: Receive, most: int, held: Counter[str], token: str) -> None:
        self._receive = receive
        self._most = most
        self._held = held
        self._token = token
        self._size = 0

    async def receive(self) -> Message:
        message = await self._receive()
        size = len(message.get("body", b""))
        self._size += size
        self._held[self._token] += size
        if self._size > self._most:
            raise too_large(self._most)
        if self._token and self._held[self._token] > MOST_HELD:
            what = f"requests of this token have {MOST_HELD // MIB} MiB in work already"
            raise HTTPException(429, what, {"Connection": "close", "Retry-After": RETRY_AFTER})
        return message

    def let_go(self) -> None:
        self._held[self._token] -= self._size
        if not self._held[self._token]:
            del self._held[self._token]


def too_large(most: int) -> HTTPException:
    return HTTPException(413, f"its body is longer than the {most} bytes that it may have", {"Connection": "close"})


def _length(scope: Scope) -> int:
    """What it says of its body; 0: nothing."""
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value)  # the server has refused what is no number
    return 0
