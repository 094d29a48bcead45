"""The facade as one token's holder sees it: every change is theirs by name, and only what they may see is answered."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

from pydantic import BaseModel

from fourfold.api.network.remote import sent
from fourfold.api.network.rights import allows
from fourfold.control import views as v
from fourfold.control.bakery.door import Door
from fourfold.control.facade import Facade
from fourfold.errors import ForbiddenError, NotFoundError
from fourfold.store.tables.events import ALL, Which
from fourfold.store.tables.tokens import AccessRole
from fourfold.supervise.model import LogLine

KEPT = "fourfold.caller"
"""Where in a request's scope its caller is kept; nothing there: it came by the socket."""


@dataclass(frozen=True)
class Caller:
    name: str
    role: AccessRole
    app: str | None = None
    """Theirs; None: all."""


def acting(facade: Facade, caller: Caller) -> Facade:
    return cast(Facade, _Acting(facade, caller))


class _Named:
    """Passes everything on. Whatever says who asks, an argument or a field named `actor`, says the caller's name,
    whatever the request said; so it is for the parts of what stands behind."""

    def __init__(self, behind: Facade | Door, caller: Caller) -> None:
        self._behind = behind
        self._caller = caller

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._behind, name)
        if not callable(method):
            return _Named(method, self._caller)

        def call(*arguments: Any, **named: Any) -> Any:
            bound = _signature(type(self._behind), name).bind(self._behind, *arguments, **named)
            bound.apply_defaults()
            for key, value in bound.arguments.items():
                if isinstance(value, v.UpRequest):
                    value = sent(value, self._caller.name, self._caller.role, self._caller.app is not None)
                if key == "actor":
                    bound.arguments[key] = self._caller.name
                elif isinstance(value, BaseModel) and "actor" in type(value).model_fields:
                    bound.arguments[key] = value.model_copy(update={"actor": self._caller.name})
            _, *positional = bound.args
            return method(*positional, **bound.kwargs)

        return call


class _Acting(_Named):
    def __init__(self, facade: Facade, caller: Caller) -> None:
        super().__init__(facade, caller)
        self._facade = facade

    @property
    def bakery(self) -> Door:
        return cast(Door, _Baking(self._facade.bakery, self._caller))

    async def renew_certificate(self, app: str, chain: bytes, key: bytes, actor: str) -> v.CertificateView:
        if self._caller.app is not None and (await self._facade.certificate(app)).shared:
            raise ForbiddenError(
                f"cannot renew the certificate of {app}: others on its address have it too, and token "
                f"{self._caller.name} is for {self._caller.app} only",
                "let somebody with a token for all apps renew it",
            )
        return await self._facade.renew_certificate(app, chain, key, self._caller.name)

    async def down(self, app: str, purge: bool, actor: str) -> v.OperationView:
        if purge and not allows(self._caller.role, "admin"):
            raise ForbiddenError(
                f"cannot purge {app}: token {self._caller.name} has role {self._caller.role}, and that takes admin",
                "leave out --purge to keep volumes, secrets and history",
            )
        return await self._facade.down(app, purge, self._caller.name)

    # -- what names no app: of a caller who has one, only that ------------------------------------------------------

    async def info(self) -> v.InfoView:
        info = await self._facade.info()
        return info.model_copy(update={"apps": [app for app in info.apps if self._sees(app)]})

    async def apps(self) -> list[v.AppView]:
        return [app for app in await self._facade.apps() if self._sees(app.name)]

    async def top(self, app: str | None) -> list[v.TopRow]:
        return await self._facade.top(self._own(app))

    def events(
        self,
        app: str | None,
        after: int,
        follow: bool,
        operation: str | None = None,
        tail: int | None = None,
        which: Which = ALL,
    ) -> AsyncIterator[v.EventView]:
        return self._facade.events(self._own(app), after, follow, operation, tail, which)

    def logs(
        self, app: str, services: Sequence[str], since: float | None, tail: int | None, previous: bool, follow: bool
    ) -> AsyncIterator[tuple[str, LogLine]]:
        if self._caller.app is not None and "gateway" in services:
            what = (
                f"cannot read the gateway's log: it has the requests of all apps, and token {self._caller.name} is for"
            )
            raise ForbiddenError(f"{what} {self._caller.app} only")
        return self._facade.logs(app, services, since, tail, previous, follow)

    async def cancel(self, operation: str, actor: str) -> None:
        if self._caller.app is not None:
            events = self._facade.events(None, 0, False, operation)
            if not [event async for event in events if event.app == self._caller.app]:
                raise NotFoundError(f"cannot cancel operation {operation}: {self._caller.app} has none of that name")
        else:
            with suppress(NotFoundError):  # it is no build of the bakery
                await _only_own(self._facade.bakery, operation, self._caller)
        await self._facade.cancel(operation, self._caller.name)

    def _sees(self, app: str) -> bool:
        return self._caller.app in (None, app)

    def _own(self, app: str | None) -> str | None:
        if app is not None and not self._sees(app):
            raise ForbiddenError(f"cannot look at {app}: token {self._caller.name} is for app {self._caller.app} only")
        return app or self._caller.app


class _Baking(_Named):
    def __init__(self, bakery: Door, caller: Caller) -> None:
        super().__init__(bakery, caller)
        self._bakery = bakery

    async def remove(self, id: str, actor: str) -> None:
        await _only_own(self._bakery, id, self._caller)
        await self._bakery.remove(id, self._caller.name)


async def _only_own(bakery: Door, id: str, caller: Caller) -> None:
    """Builds are ended and removed by whom they belong to, and by admins."""
    owner = (await bakery.get(id)).actor
    if owner != caller.name and not allows(caller.role, "admin"):
        raise ForbiddenError(
            f"cannot remove build {id}: it is not one of token {caller.name}", "ask its owner, or an admin"
        )


@cache
def _signature(kind: type[Any], name: str) -> inspect.Signature:
    return inspect.signature(getattr(kind, name))
