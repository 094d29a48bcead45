"""Apps: what one service file describes, apart from its services."""

from __future__ import annotations

from fourfold.errors import NotFoundError
from fourfold.store.db import Database
from fourfold.store.model import AppRow
from fourfold.store.tables.rows import Table

TABLE = Table("apps", AppRow, key=("name",))


class Apps:
    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, row: AppRow) -> None:
        TABLE.put(self._database, row)

    def get(self, name: str) -> AppRow | None:
        return TABLE.get(self._database, name)

    def need(self, name: str) -> AppRow:
        """Raises NotFoundError, which lists the apps that there are."""
        if row := self.get(name):
            return row
        known = ", ".join(row.name for row in self.all() if row.candidate_of is None)
        there = f"apps here are {known}" if known else "there is none here"
        raise NotFoundError(f"cannot find app {name}: {there}", "bring it up with: fourfold up")

    def all(self) -> list[AppRow]:
        """By name."""
        return TABLE.select(self._database, "ORDER BY name")

    def remove(self, name: str) -> bool:
        """Whether it was there. Its services have to be removed before, or in the same transaction."""
        return TABLE.remove(self._database, name)
