"""Bodies whose text is Unicode: JSON can write half of a character (`"\\ud800"`), which nothing can store."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute


class _Request(Request):
    async def json(self) -> Any:
        """Raises json.JSONDecodeError."""
        value = await super().json()
        if b"\\ud" in (await self.body()).lower():
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
