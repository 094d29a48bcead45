"""Tokens, secrets, and the webhooks that secrets sign."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fourfold.clock import rfc3339
from fourfold.control import views as v
from fourfold.control.requests.base import Requests
from fourfold.control.routing.passwords import parse
from fourfold.errors import UserError
from fourfold.store.model import ServiceRow

if TYPE_CHECKING:
    from fourfold.control.access import NewTokenView, TokenRequest, TokenView


class Secrets(Requests):
    async def tokens(self) -> list[TokenView]:
        return self._parts.access.all()

    async def create_token(self, request: TokenRequest) -> NewTokenView:
        return self._parts.access.create(request)

    async def remove_token(self, name: str, actor: str) -> None:
        self._parts.access.remove(name, actor)

    async def secrets(self, app: str) -> list[v.SecretView]:
        return [
            v.SecretView(name=info.name, updated_at=rfc3339(info.updated_at))
            for info in self._parts.store.secrets.names(app)
        ]

    async def set_secrets(self, app: str, values: dict[str, str], actor: str) -> None:
        """Before the app is brought up for the first time too: it may need them for that."""
        for name in values.keys() & {name for row in self._parts.registry.of_app(app) for name in self._auths(row)}:
            parse(values[name], name)
        self._parts.store.secrets.set_many(app, values)
        self._parts.passwords.forget(app)
        self._parts.traffic.sync()
        names = ", ".join(sorted(values))
        self._parts.bus.emit("secrets.set", f"secrets set: {names}", app=app, actor=actor, names=sorted(values))

    async def remove_secrets(self, app: str, names: list[str], actor: str) -> None:
        """All or none."""
        for name in names:
            if self._parts.notifying.hooks.uses(app, name):
                raise UserError(
                    f"cannot remove secret {name}: it signs what webhooks of app {app} are sent; nothing was removed",
                    "take it out of `notify` in the service file and run `fourfold up` first",
                )
            if users := [row.name for row in self._parts.registry.of_app(app) if self._uses(row, name)]:
                raise UserError(
                    f"cannot remove secret {name}: {', '.join(users)} of app {app} uses it; nothing was removed",
                    "take it out of the service file and run `fourfold up` first",
                )
        self._parts.store.secrets.remove(app, names)
        told = f"secrets removed: {', '.join(names)}"
        self._parts.bus.emit("secrets.removed", told, app=app, actor=actor, names=names)

    def _uses(self, row: ServiceRow, name: str) -> bool:
        spec = self._parts.registry.spec(f"{row.app}.{row.name}", row.release)
        return any(use.name == name for use in spec.secrets) or name in self._auths(row)

    def _auths(self, row: ServiceRow) -> set[str]:
        """Secrets that the gateway asks its users for."""
        routes = self._parts.registry.spec(f"{row.app}.{row.name}", row.release).route
        return {route.auth.secret for route in routes if route.auth is not None}

    async def hooks(self, app: str) -> list[v.HookView]:
        self._parts.status.need_app(app)
        return self._parts.notifying.hooks.views(app)

    async def test_hooks(self, app: str, actor: str) -> list[v.HookTestView]:
        self._parts.status.need_app(app)
        return await self._parts.notifying.test(app, actor)
