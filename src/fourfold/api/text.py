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

from fourfold.api.network.matching import match
from fourfold.api.network.rights import BULK, DEPTH, VALUES
from fourfold.errors import UserError

_STRING = re.compile(rb'"[^"\\]*(?:\\.?[^"\\]*)*(?:"|\Z)', re.DOTALL)
"""Whatever begins like one: it never looks back, however the text goes on."""


class _Request(Request):
    async def json(self) -> Any:
        """Raises json.JSONDecodeError, and HTTPException for more values than the route takes, or too many levels.

        JSON can write half of a character (`"\\ud800"`), which nothing can store.
        """
        body = await self.body()
        found = match(self.scope["app"], self.scope)
        bulk = found.rule.bulk if found is not None else None
        if has_more(body, BULK if bulk else VALUES):
            raise _too_large(f"has more than {BULK if bulk else VALUES:,} values")
        value = await super().json()
        if has_more(body, DEPTH):
            rest = {key: each for key, each in value.items() if key != bulk} if isinstance(value, dict) else value
            if bulk and measured(rest)[0] > VALUES:
                raise _too_large(f"has more than {VALUES:,} values beside `{bulk}`")
            if measured(value)[1] > DEPTH:
                raise _too_large(f"is nested deeper than {DEPTH} levels")
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


def measured(value: Any) -> tuple[int, int]:
    """How many values it has, and how many levels."""
    count, depth, level = 0, 0, [value]
    while level:
        count, depth = count + len(level), depth + 1
        nested = [each.values() if isinstance(each, dict) else each for each in level if isinstance(each, dict | list)]
        level = [child for each in nested for child in each]
    return count, depth


def _too_large(what: str) -> HTTPException:
    return HTTPException(413, f"its JSON {what}")


def _signs(text: bytes) -> int:
    return text.count(b",") + text.count(b"[") + text.count(b"{")


async def pieces(request: Request) -> AsyncIterator[bytes]:
    """The body as it comes. Raises UserError when the client goes away before its end."""
    try:
        async for piece in request.stream():
            yield piece
    except ClientDisconnect:
        raise UserError("cannot take the request: it broke off", "send it again") from None
