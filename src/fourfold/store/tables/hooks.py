"""Webhooks of apps, and up to which event each has been told. What a url may hold is encrypted, as secrets are."""

from __future__ import annotations

from dataclasses import dataclass

from fourfold.store.db import Database
from fourfold.store.tables.rows import Table


@dataclass(frozen=True)
class HookRow:
    app: str
    name: str
    """Within its app: changes when the url does."""
    url: bytes
    """Sealed (`Secrets.seal`)."""
    host: str
    """`https://hooks.example.com`: what is shown of the url."""
    events: tuple[str, ...]
    """`spec.notify.Notify.on`."""
    format: str
    secret: str | None
    """Name of the app's secret that signs."""
    cursor: int
    """Number of the last event that is done with: delivered, given up, or not for this hook."""
    delivered: int = 0
    given_up: int = 0
    failing_since: float | None = None
    """Epoch seconds; None: it took the last one."""
    error: str | None = None
    """Why it did not, without the url."""


TABLE = Table("hooks", HookRow, key=("app", "name"))


class Hooks:
    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> list[HookRow]:
        return TABLE.select(self._database, "ORDER BY app, name")

    def of(self, app: str) -> list[HookRow]:
        return TABLE.select(self._database, "WHERE app = ? ORDER BY name", app)

    def put(self, row: HookRow) -> None:
        TABLE.put(self._database, row)

    def remove(self, app: str, name: str) -> None:
        TABLE.remove(self._database, app, name)

    def remove_app(self, app: str) -> None:
        TABLE.delete(self._database, "WHERE app = ?", app)
