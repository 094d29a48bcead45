"""Bodies as they come: JSON of a bounded number of values whose text is Unicode, and what is taken in pieces."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from fourfold.api.matching import match
from fourfold.errors import UserError

_STRING = re.compile(rb'"[^"\\]*(?:\\.?[^"\\]*)*(?:"|\Z)', re.DOTALL)
"""Whatever begins like one: it never looks back, however the text goes on."""


class _Request(Request):
    async def json(self) -> Any:
        """Raises json.JSONDecodeError, and HTTPException for more values than the route takes.

        JSON can write half of a character (`"\\ud800"`), which nothing can store.
        """
        body = await self.body()
        if (found := match(self.scope["app"], self.scope)) is not None and has_more(body, found.rule.values):
            raise HTTPException(413, f"its JSON has more than the {found.rule.values:,} values that it may have")
        value = await super().json()
        if b"\\ud" in body.lower():
            try:
                json.dumps(value, ensure_ascii=False).encode()
            except UnicodeEncodeError:
                raise json.JSONDecodeError("half of a character", "", 0) from None
        return value


class TextRoute(APIRoute):
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_text(request: Request) -> Response:
            return await handle(_Request(request.scope, request.receive))

        return handle_text


def has_more(body: bytes, most: int) -> bool:
    """Whether a JSON text has more than `most` values. An array of `[[],[],…` takes thirty times the memory that its
    text does, and to say what is wrong with each of its entries takes a thousand times."""
    return _signs(body) > most and _signs(_STRING.sub(b"", body)) > most


def _signs(text: bytes) -> int:
    return text.count(b",") + text.count(b"[") + text.count(b"{")


async def pieces(request: Request) -> AsyncIterator[bytes]:
    """The body as it comes. Raises UserError when the client goes away before its end."""
    try:
        async for piece in request.stream():
            yield piece
    except ClientDisconnect:
        raise UserError("cannot take the request: it broke off", "send it again") from None
