"""Builds: what releases were built into, one artifact for each pattern. They go with their release."""

from __future__ import annotations

from fourfold.store.db import Database
from fourfold.store.model import Build
from fourfold.store.tables.rows import Table

TABLE = Table("builds", Build, key=("app", "service", "number", "pattern"))


class Builds:
    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, row: Build) -> None:
        """Its release has to be stored before, or in the same transaction. A later one replaces what was lost."""
        TABLE.put(self._database, row)

    def get(self, app: str, service: str, number: int, pattern: str) -> Build | None:
        return TABLE.get(self._database, app, service, number, pattern)

    def of(self, app: str, service: str) -> list[Build]:
        """Of all releases, newest release first."""
        return TABLE.select(self._database, "WHERE app = ? AND service = ? ORDER BY number DESC, pattern", app, service)
