"""Services: the desired state."""

from __future__ import annotations

from fourfold.errors import NotFoundError
from fourfold.store.db import Database
from fourfold.store.model import ServiceRow
from fourfold.store.tables.rows import Table

TABLE = Table("services", ServiceRow, key=("app", "name"))


class Services:
    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, row: ServiceRow) -> None:
        """Its app and its release have to be stored before, or in the same transaction."""
        TABLE.put(self._database, row)

    def get(self, app: str, name: str) -> ServiceRow | None:
        return TABLE.get(self._database, app, name)

    def need(self, app: str, name: str) -> ServiceRow:
        """Raises NotFoundError, which lists the services that there are."""
        if row := self.get(app, name):
            return row
        there = ", ".join(row.name for row in self.of(app)) or "none"
        raise NotFoundError(f"cannot find service {name} of app {app}: its services are {there}")

    def of(self, app: str) -> list[ServiceRow]:
        """By name."""
        return TABLE.select(self._database, "WHERE app = ? ORDER BY name", app)

    def all(self) -> list[ServiceRow]:
        return TABLE.select(self._database, "ORDER BY app, name")

    def remove(self, app: str, name: str) -> bool:
        return TABLE.remove(self._database, app, name)
