"""Comparisons: what was measured of a service under several patterns. The newest few of each service are kept."""

from __future__ import annotations

from fourfold.store.db import Database
from fourfold.store.model import ComparisonRow
from fourfold.store.tables.rows import Table

TABLE = Table("comparisons", ComparisonRow, key=("id",))
KEPT = 10
"""Of each service."""


class Comparisons:
    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, row: ComparisonRow) -> None:
        TABLE.put(self._database, row)
        for old in self.of(row.app, row.service)[KEPT:]:
            TABLE.remove(self._database, old.id)

    def of(self, app: str, service: str) -> list[ComparisonRow]:
        """Newest first."""
        return TABLE.select(self._database, "WHERE app = ? AND service = ? ORDER BY made_at DESC, id", app, service)

    def newest(self, app: str, service: str) -> ComparisonRow | None:
        return next(iter(self.of(app, service)), None)

    def remove_app(self, app: str) -> None:
        for row in TABLE.select(self._database, "WHERE app = ?", app):
            TABLE.remove(self._database, row.id)
