"""As web.py, for a Python group: an ASGI app that behaves, or misbehaves, as its environment and its requests ask.

What ends the process (/crash) ends that of its host, where the app is mounted.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

env = os.environ
VERSION = "VERSION IS PUT HERE"  # a mounted app's environment is everybody's
hoard: list[bytearray] = []
Query = dict[str, str]

if VERSION == "broken":
    import there_is_no_such_module  # type: ignore[import-not-found]  # noqa: F401


def spin(query: Query) -> None:
    """In a thread of its own, so that this request is answered and the loop goes on."""
    end = time.monotonic() + float(query.get("seconds", "1"))

    def loop() -> None:
        while time.monotonic() < end:
            pass

    threading.Thread(target=loop, daemon=True).start()


def hog(query: Query) -> None:
    for _ in range(0, int(query["bytes"]), 1 << 20):
        hoard.append(bytearray(1 << 20))
        hoard[-1][::4096] = b"x" * 256


async def slow(query: Query) -> None:
    await asyncio.sleep(float(query.get("seconds", "1")))


def block(query: Query) -> None:
    time.sleep(float(query.get("seconds", "1")))


ACTS: dict[str, Callable[[Query], Any]] = {
    "/": lambda query: f"hello from {VERSION}\n",
    "/healthz": lambda query: "ok\n",
    "/pid": lambda query: str(os.getpid()),
    "/slow": slow,
    "/hog": hog,
    "/spin": spin,
    "/block": block,
    "/crash": lambda query: os._exit(int(query.get("code", "3"))),
}


async def app(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    path = "/" + scope["path"].rpartition("/")[2]
    query = {name: values[-1] for name, values in parse_qs(scope["query_string"].decode()).items()}
    act = ACTS.get(path)
    said = act(query) if act is not None else "not found\n"
    if asyncio.iscoroutine(said):
        said = await said
    body = (said if isinstance(said, str) else "done\n").encode()
    headers = [(b"x-version", VERSION.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200 if act is not None else 404, "headers": headers})
    await send({"type": "http.response.body", "body": body})
