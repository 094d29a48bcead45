"""An error as an answer, where no handler is at work: over HTTP, and to a client that wants a WebSocket."""

from __future__ import annotations

import json

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.utils import ClientDisconnected

from fourfold.api.errors import describe


async def refuse(
    scope: Scope, receive: Receive, send: Send, error: Exception, headers: dict[str, str] | None = None,
    close: bool = False,
) -> None:  # fmt: skip
    """Answer `error` as every handler would. `close`: nothing more is read from this connection."""
    body = describe(error)
    content = json.dumps(body.model_dump(mode="json")).encode()
    lines = {"content-type": "application/json", "content-length": str(len(content)), **(headers or {})}
    if close:
        lines["connection"] = "close"
    encoded = [(name.lower().encode(), value.encode("latin-1")) for name, value in lines.items()]
    kind = "http"
    if scope["type"] == "websocket":
        await receive()  # its request to connect
        if "websocket.http.response" not in scope.get("extensions", {}):
            await send({"type": "websocket.close", "code": 1008, "reason": body.error[:100]})
            return
        kind = "websocket.http"
    await send({"type": f"{kind}.response.start", "status": body.status, "headers": encoded})
    await send({"type": f"{kind}.response.body", "body": content})
    if kind != "http":
        # uvicorn (0.54) does not note that this was the answer, and would log each of these as a fault.
        raise ClientDisconnected
