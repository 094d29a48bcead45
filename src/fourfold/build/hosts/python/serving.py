"""One app and its server: uvicorn for ASGI, a2wsgi in front of WSGI; and counting what is asked of it."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import itertools
import socket
import time
import traceback
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from pathlib import Path
from types import ModuleType
from typing import Any

import uvicorn
from a2wsgi import WSGIMiddleware
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.wsproto_impl import WSProtocol

WSGI_THREADS = 10
KEEP_ALIVE = 30
"""Seconds that an idle connection is kept."""

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class LoadError(Exception):
    """There is no app where it is said to be."""


def load(target: str, import_module: Callable[[str], ModuleType]) -> Any:
    """`module:attribute` or `module:factory()`. Raises LoadError and whatever importing or calling it raises."""
    name, _, attribute = target.partition(":")
    found: Any = import_module(name)
    for part in attribute.removesuffix("()").split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise LoadError(f"cannot find the app {target}: {name} has no {attribute.removesuffix('()')!r}") from None
    if not attribute.endswith("()"):
        return found
    return found()


def parameters(app: Any) -> int:
    """How many it must be called with: ASGI takes 3 (version 2 one), WSGI 2."""
    try:
        given = inspect.signature(app).parameters.values()
    except (TypeError, ValueError):
        return 2
    positional = [each for each in given if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    return len([each for each in positional if each.default is each.empty])


class App:
    """What the server calls: the guest's app, with its requests counted."""

    def __init__(self, app: Any, target: str) -> None:
        if not callable(app):
            raise LoadError(f"cannot use {target} as an app: it is a {type(app).__name__}, and cannot be called")
        self.wsgi: WSGIMiddleware | None = None
        self.requests = 0
        self.errors = 0
        self.failure = ""
        """What it said when its lifespan startup failed."""
        self._since: dict[int, float] = {}
        self._numbers = itertools.count()
        self.busy = 0
        if _is_coroutine(app) or (count := parameters(app)) == 3:
            self._app = app
        elif count == 1:
            self._app = lambda scope, receive, send: app(scope)(receive, send)
        else:
            self.wsgi = WSGIMiddleware(app, workers=WSGI_THREADS)
            self._app = self.wsgi

    @property
    def longest(self) -> float:
        """Seconds that the oldest of its requests has taken; WebSockets are none."""
        since = min(list(self._since.values()), default=None)
        return 0.0 if since is None else time.monotonic() - since

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, self._hears(send))
            return
        number = next(self._numbers)
        self.busy += 1
        status = 0

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        if scope["type"] == "http":
            self.requests += 1
            self._since[number] = time.monotonic()
        try:
            await self._app(scope, receive, counted)
        except Exception:
            status = 500
            raise
        finally:
            self.busy -= 1
            self.errors += status >= 500
            self._since.pop(number, None)

    def _hears(self, send: Send) -> Send:
        async def heard(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed":
                self.failure = str(message.get("message", "")).strip().rpartition("\n")[2]
            await send(message)

        return heard

    def close(self) -> None:
        if self.wsgi is not None:
            self.wsgi.executor.shutdown(wait=False, cancel_futures=True)


def _is_coroutine(app: Any) -> bool:
    call = app if inspect.isfunction(app) or inspect.ismethod(app) else getattr(app, "__call__", None)  # noqa: B004
    return inspect.iscoroutinefunction(call)


class Server(uvicorn.Server):
    """Signals are for whoever runs it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def server(app: App) -> Server:
    return Server(
        uvicorn.Config(
            app,
            interface="asgi3",
            http=HttpToolsProtocol,
            ws=WSProtocol,
            log_config=None,
            access_log=False,
            timeout_keep_alive=KEEP_ALIVE,
            server_header=False,
        )
    )


def listener(host: str, port: int) -> socket.socket:
    """Bound, but refusing connections until the server listens, when the app has started. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    bound.setblocking(False)
    return bound


def said_of(error: BaseException) -> str:
    """An exception in one line."""
    text = str(error).strip()
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def traceback_of(error: BaseException) -> str:
    """As usual, without the lines of this program."""
    ours = str(Path(__file__).parent)
    told = traceback.TracebackException.from_exception(error)
    told.stack[:] = [frame for frame in told.stack if not frame.filename.startswith(ours)]
    return "".join(told.format())


def run(loop: asyncio.AbstractEventLoop, served: Server, bound: socket.socket) -> None:
    """As asyncio.run, on the loop that the app has found when it was imported."""
    try:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(served.serve(sockets=[bound]))
    finally:
        bound.close()
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
        asyncio.set_event_loop(None)
        loop.close()
