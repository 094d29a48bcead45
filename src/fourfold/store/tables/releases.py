"""Releases: immutable, numbered per service from 1. A number is not used twice while the app's history is kept."""

from __future__ import annotations

from fourfold.errors import NotFoundError
from fourfold.store.db import Database
from fourfold.store.model import Release
from fourfold.store.tables.rows import Table

TABLE = Table("releases", Release, key=("app", "service", "number"))


class Releases:
    def __init__(self, database: Database) -> None:
        self._database = database

    def next_number(self, app: str, service: str) -> int:
        newest = self.latest(app, service)
        return newest.number + 1 if newest else 1

    def add(self, row: Release) -> None:
        """Once: a release is never written again."""
        TABLE.insert(self._database, row)

    def get(self, app: str, service: str, number: int) -> Release | None:
        return TABLE.get(self._database, app, service, number)

    def need(self, app: str, service: str, number: int) -> Release:
        """Raises NotFoundError, which lists the releases that are kept."""
        if row := self.get(app, service, number):
            return row
        kept = ", ".join(str(row.number) for row in self.of(app, service)) or "none"
        raise NotFoundError(
            f"cannot find release {number} of service {service}: kept are {kept}", f"see: fourfold history {service}"
        )

    def latest(self, app: str, service: str) -> Release | None:
        found = TABLE.select(self._database, "WHERE app = ? AND service = ? ORDER BY number DESC LIMIT 1", app, service)
        return found[0] if found else None

    def of(self, app: str, service: str) -> list[Release]:
        """Newest first."""
        return TABLE.select(self._database, "WHERE app = ? AND service = ? ORDER BY number DESC", app, service)

    def of_app(self, app: str) -> list[Release]:
        return TABLE.select(self._database, "WHERE app = ? ORDER BY service, number DESC", app)

    def all(self) -> list[Release]:
        return TABLE.select(self._database, "ORDER BY app, service, number DESC")

    def remove(self, app: str, service: str, number: int) -> bool:
        return TABLE.remove(self._database, app, service, number)

    def remove_app(self, app: str) -> int:
        """Forget an app's history (`down --purge`); how many releases that were."""
        return TABLE.delete(self._database, "WHERE app = ?", app)
