"""Instances: every one that was asked for, from before its spawn until it is forgotten."""

from __future__ import annotations

from fourfold.store.db import Database
from fourfold.store.model import InstanceRow
from fourfold.store.tables.rows import Table

TABLE = Table("instances", InstanceRow, key=("id",))


class Instances:
    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, row: InstanceRow) -> None:
        TABLE.put(self._database, row)

    def get(self, id: str) -> InstanceRow | None:
        return TABLE.get(self._database, id)

    def of(self, app: str, service: str) -> list[InstanceRow]:
        """Oldest first, dead ones included."""
        return TABLE.select(self._database, "WHERE app = ? AND service = ? ORDER BY created_at, id", app, service)

    def alive(self) -> list[InstanceRow]:
        """All but those that are gone for good."""
        return TABLE.select(self._database, "WHERE state != 'gone' ORDER BY created_at, id")

    def all(self) -> list[InstanceRow]:
        return TABLE.select(self._database, "ORDER BY created_at, id")

    def remove(self, id: str) -> bool:
        return TABLE.remove(self._database, id)

    def trim_runs(self, app: str, service: str, keep: int) -> int:
        """Forget those of runs of a job that are gone, but the newest; how many went."""
        old = (
            "SELECT id FROM instances WHERE app = ?1 AND service = ?2 AND role = 'run' AND state = 'gone'"
            " ORDER BY changed_at DESC, id DESC LIMIT -1 OFFSET ?3"
        )
        return TABLE.delete(self._database, f"WHERE id IN ({old})", app, service, keep)

    def remove_app(self, app: str) -> int:
        """Forget all of an app (`down --purge`); how many that were."""
        return TABLE.delete(self._database, "WHERE app = ?", app)
