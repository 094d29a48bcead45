"""Deployments: how each service came from one set of instances to another."""

from __future__ import annotations

from fourfold.store.db import Database
from fourfold.store.model import Deployment
from fourfold.store.tables.rows import Table

TABLE = Table("deployments", Deployment, key=("id",))
OPEN = ("running", "rolling-back")
"""States in which a deployment has not ended."""


class Deployments:
    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, row: Deployment) -> Deployment:
        """Store a new one (its `id` is ignored); returns it with the id it got."""
        return TABLE.append(self._database, row)

    def update(self, row: Deployment) -> None:
        TABLE.put(self._database, row)

    def get(self, id: int) -> Deployment | None:
        return TABLE.get(self._database, id)

    def latest(self, app: str, service: str) -> Deployment | None:
        found = TABLE.select(self._database, "WHERE app = ? AND service = ? ORDER BY id DESC LIMIT 1", app, service)
        return found[0] if found else None

    def of(self, app: str, service: str) -> list[Deployment]:
        """Newest first."""
        return TABLE.select(self._database, "WHERE app = ? AND service = ? ORDER BY id DESC", app, service)

    def of_operation(self, operation: str) -> list[Deployment]:
        """Oldest first."""
        return TABLE.select(self._database, "WHERE operation = ? ORDER BY id", operation)

    def running(self) -> list[Deployment]:
        """Those that have not ended, rolling back included; oldest first."""
        return TABLE.select(self._database, "WHERE state IN (?, ?) ORDER BY id", *OPEN)

    def all(self) -> list[Deployment]:
        return TABLE.select(self._database, "ORDER BY id")

    def remove(self, id: int) -> bool:
        return TABLE.remove(self._database, id)

    def remove_app(self, app: str) -> int:
        return TABLE.delete(self._database, "WHERE app = ?", app)
