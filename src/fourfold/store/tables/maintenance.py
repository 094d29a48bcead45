"""Maintenance: which services the gateway answers for, and what."""

from __future__ import annotations

from fourfold.store.db import Database
from fourfold.store.model import MaintenanceRow
from fourfold.store.tables.rows import Table

TABLE = Table("maintenance", MaintenanceRow, key=("app", "service"))


class Maintenances:
    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, row: MaintenanceRow) -> None:
        TABLE.put(self._database, row)

    def all(self) -> list[MaintenanceRow]:
        """By app and service."""
        return TABLE.select(self._database, "ORDER BY app, service")

    def remove(self, app: str, service: str) -> bool:
        """Whether it was there."""
        return TABLE.remove(self._database, app, service)

    def remove_app(self, app: str) -> None:
        TABLE.delete(self._database, "WHERE app = ?", app)
