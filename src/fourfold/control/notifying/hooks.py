"""The webhooks of apps as their files have them: stored with what an `up` stores, shown, refused."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace

from fourfold.clock import rfc3339
from fourfold.control import views as v
from fourfold.control.registry import Registry
from fourfold.spec.app import App
from fourfold.spec.notify import Notify
from fourfold.store.tables.hooks import HookRow


class Hooks:
    def __init__(self, registry: Registry, last: Callable[[], int], changed: Callable[[], None]) -> None:
        """`last()`: number of the newest event; `changed()` is called when hooks have come or gone."""
        self._registry = registry
        self._store = registry.store.hooks
        self._last = last
        self._changed = changed

    def check(self, app: App) -> None:
        """Raises UserError when a secret that is to sign is not set, WorldError when the key of secrets is lost."""
        self._registry.store.secrets.resolve(app.app, {each.secret for each in app.notify if each.secret})

    def put(self, app: App, last: int) -> None:
        """Inside the transaction that stores the app. A hook that stays goes on from where it is; a new one is told of
        events after number `last`."""
        there = {row.name: row for row in self._store.of(app.app)}
        wanted = {_name(each): each for each in app.notify}
        for name, each in wanted.items():
            row = self._row(app.app, name, each, last)
            if old := there.get(name):
                row = replace(old, events=row.events, format=row.format, secret=row.secret)
            if row != old:
                self._store.put(row)
        for name in there.keys() - wanted.keys():
            self._store.remove(app.app, name)

    def _row(self, app: str, name: str, each: Notify, last: int) -> HookRow:
        sealed = self._registry.store.secrets.seal(app, f"hook {name}", each.url)
        return HookRow(app, name, sealed, each.host, tuple(each.on), each.format, each.secret, last)

    def storing(self, app: App) -> Callable[[], None]:
        """`put`, for later: events from now on are news to a new hook."""
        last = self._last()

        def store() -> None:
            self.put(app, last)
            self._changed()

        return store

    def url(self, row: HookRow) -> str:
        """Raises WorldError without the key that it was encrypted with."""
        return self._registry.store.secrets.unseal(row.app, f"hook {row.name}", row.url)

    def all(self) -> list[HookRow]:
        return [row for row in self._store.all() if row.app in self._registry.apps]

    def forget_gone(self) -> None:
        """Those of apps that are down: the next `up` makes them anew."""
        for app in {row.app for row in self._store.all()} - self._registry.apps.keys():
            self._store.remove_app(app)

    def of(self, app: str) -> list[HookRow]:
        return self._store.of(app)

    def uses(self, app: str, secret: str) -> bool:
        return any(row.secret == secret for row in self._store.of(app))

    def views(self, app: str) -> list[v.HookView]:
        return [view(row) for row in self._store.of(app)]

    def troubles(self, app: str | None = None) -> list[str]:
        """A sentence for each hook that fails."""
        rows = self.all() if app is None else self.of(app)
        return [trouble for row in rows if (trouble := trouble_of(row))]

    def checks(self) -> list[v.CheckView]:
        """For `doctor`: one that fails, or that all are well; nothing where there are none."""
        if not self.all():
            return []
        troubles = self.troubles()
        if not troubles:
            return [v.CheckView(name="webhooks", state="ok", message="all take what they are sent", hint="")]
        hint = "see: fourfold notify; once it answers again, it is told what it missed of the last day"
        return [v.CheckView(name="webhooks", state="warning", message=each, hint=hint) for each in troubles]


def view(row: HookRow) -> v.HookView:
    return v.HookView(
        host=row.host,
        on=list(row.events),
        format=row.format,
        signed=row.secret is not None,
        delivered=row.delivered,
        given_up=row.given_up,
        failing_since=rfc3339(row.failing_since) if row.failing_since is not None else None,
        error=row.error,
    )


def trouble_of(row: HookRow) -> str:
    """Empty: none."""
    if row.failing_since is None:
        return ""
    lost = f"; {row.given_up} were given up" if row.given_up else ""
    return (
        f"the webhook at {row.host} of {row.app} takes no events since {rfc3339(row.failing_since)}: {row.error}{lost}"
    )


def _name(each: Notify) -> str:
    """What makes it another one: what it was told is not what a new address was told."""
    return hashlib.sha256(each.url.encode()).hexdigest()[:16]
