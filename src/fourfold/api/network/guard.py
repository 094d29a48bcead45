"""The door of the API over the network: a good token, for this route and this app, or nothing."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Coroutine
from functools import partial
from typing import Any

from fastapi import FastAPI
from starlette.types import Message, Receive, Scope, Send

from fourfold.api.network.acting import KEPT, Caller
from fourfold.api.network.matching import match
from fourfold.api.network.refusals import WINDOW, Refusals
from fourfold.api.network.rights import allows
from fourfold.api.sending import refuse
from fourfold.control.access import Access
from fourfold.errors import ForbiddenError, FourfoldError, TooManyError, UnauthorizedError

MOST_TOKEN = 200
SHOWN = 200
"""Letters of a path that is told of; it comes from whoever likes to send one."""
SHORT = 64 * 1024
ENDED = "its token has expired or was removed meanwhile"
SCHEME = "bearer "
HOW = (
    "send `Authorization: Bearer TOKEN` (the command takes it from FOURFOLD_TOKEN); an admin makes tokens: "
    "fourfold tokens create NAME --role read"
)


class Guard:
    """An ASGI application around `api`."""

    def __init__(self, api: FastAPI, access: Access, refusals: Refusals) -> None:
        self._api = api
        self._access = access
        self._refusals = refusals
        self._open: defaultdict[str, set[asyncio.Task[None]]] = defaultdict(set)
        """Of each token, what is being answered."""
        access.removed.add(self._removed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._api(scope, receive, send)
            return
        try:
            found = self._access.find(_secret(scope))
        except FourfoldError as broken:  # the store cannot be read
            await refuse(scope, receive, send, broken, close=True)
            return
        if found is None:
            await self._refuse(scope, receive, send)
            return
        caller = Caller(found.name, found.role, found.app)
        if (error := self._forbids(caller, scope)) is not None:
            self._refusals.add("forbidden", _client(scope), f"token {caller.name}: {error}")
            await refuse(scope, receive, send, error, close=_is_long(scope))
            return
        scope[KEPT] = caller
        begun = False

        async def noting(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        whole = await self._answer(caller.name, self._access.left(found), self._api(scope, receive, noting))
        if not (whole or begun or scope["type"] == "websocket"):
            await refuse(scope, receive, send, UnauthorizedError(f"cannot go on: {ENDED}", HOW), close=True)

    def _forbids(self, caller: Caller, scope: Scope) -> FourfoldError | None:
        if (found := match(self._api, scope)) is None:
            return None  # 404 and 405 tell nothing
        if not allows(caller.role, found.rule.role):
            what = f"{scope.get('method', 'WEBSOCKET')} {_shown(scope['path'])}"
            return ForbiddenError(
                f"cannot do {what}: token {caller.name} has role {caller.role}, and that takes {found.rule.role}",
                "ask an admin for another token",
            )
        app = found.parameters.get("app")
        if caller.app is not None and app != caller.app and not (app is None and found.rule.any_app):
            what = f"app {_shown(app)}" if app else "what concerns the machine"
            return ForbiddenError(f"cannot reach {what}: token {caller.name} is for app {caller.app} only")
        return None

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Before a byte of its body is read."""
        has_one = any(name == b"authorization" for name, _ in scope["headers"])
        why = "its token is wrong, removed or expired" if has_one else "it has no token"
        too_often = self._refusals.add("token" if has_one else "no-token", _client(scope), why)
        if too_often:
            error: FourfoldError = TooManyError(f"cannot let you in: {why}, again and again", "wait a minute")
            headers = {"retry-after": str(int(WINDOW))}
        else:
            error = UnauthorizedError(f"cannot let you in: {why}", HOW)
            headers = {"www-authenticate": 'Bearer realm="fourfold"'}
        await refuse(scope, receive, send, error, headers, close=True)

    async def _answer(self, token: str, left: float | None, answering: Coroutine[Any, Any, None]) -> bool:
        """A token that is removed meanwhile, or is good for no more than the `left` seconds, ends what it holds open.
        -> whether it came to its end."""
        task = asyncio.create_task(answering)
        self._open[token].add(task)
        end = None if left is None else asyncio.get_running_loop().call_later(left, task.cancel)
        try:
            await asyncio.wait({task})
        finally:
            if end is not None:
                end.cancel()
            task.cancel()
            self._open[token].discard(task)
            if not self._open[token]:
                del self._open[token]
        if not task.cancelled():
            task.result()
        return not task.cancelled()

    def _removed(self, token: str) -> None:
        for task in self._open.get(token, ()):
            task.get_loop().call_soon(partial(task.cancel))


def _secret(scope: Scope) -> str:
    """What a request says its token is; empty: nothing that could be one."""
    said = [value for name, value in scope["headers"] if name == b"authorization"]
    text = said[0].decode("latin-1") if len(said) == 1 and len(said[0]) <= MOST_TOKEN else ""
    return text[len(SCHEME) :].strip() if text[: len(SCHEME)].lower() == SCHEME else ""


def _is_long(scope: Scope) -> bool:
    """Whether a body comes that is better not waited for."""
    headers = dict(scope["headers"])
    return b"transfer-encoding" in headers or int(headers.get(b"content-length", b"0")) > SHORT


def _shown(text: str) -> str:
    return ascii(text[:SHOWN])[1:-1]


def _client(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else "unknown"
