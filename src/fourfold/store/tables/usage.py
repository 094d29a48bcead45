"""What services took and answered, by hour and pattern; and up to where it is in there, of each instance."""

from __future__ import annotations

from fourfold.store.db import Database
from fourfold.store.model import UsageHour, UsageMark
from fourfold.store.tables.rows import Table

HOURS = Table("usage_hours", UsageHour, key=("app", "service", "hour", "pattern"))
MARKS = Table("usage_marks", UsageMark, key=("instance",))
KEEP_HOURS = 400 * 24
"""A year can be held against the one before."""
HOUR = 3600

_SUMS = tuple(column for column in HOURS.columns if column not in HOURS.key)
_ADD = (
    f"INSERT INTO usage_hours ({', '.join(HOURS.columns)}) VALUES ({', '.join('?' for _ in HOURS.columns)})"
    f" ON CONFLICT ({', '.join(HOURS.key)}) DO UPDATE SET "
    + ", ".join(f"{column} = {column} + excluded.{column}" for column in _SUMS)
)


class Usage:
    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, row: UsageHour) -> None:
        """To what that hour has already."""
        self._database.execute(_ADD, [getattr(row, column) for column in HOURS.columns])

    def of(self, app: str, service: str, since: float = 0.0) -> list[UsageHour]:
        """Oldest first, all patterns of an hour together."""
        return HOURS.select(
            self._database, "WHERE app = ? AND service = ? AND hour >= ? ORDER BY hour, pattern", app, service, since
        )

    def services(self, app: str) -> list[str]:
        """Those that anything is known of."""
        rows = self._database.query("SELECT DISTINCT service FROM usage_hours WHERE app = ? ORDER BY service", (app,))
        return [str(name) for (name,) in rows]

    def trim(self, now: float) -> int:
        """Forget hours that are older than what is kept; how many went."""
        return HOURS.delete(self._database, "WHERE hour < ?", now - KEEP_HOURS * HOUR)

    def marks(self) -> dict[str, UsageMark]:
        """By instance."""
        return {mark.instance: mark for mark in MARKS.select(self._database)}

    def mark(self, instance: str) -> UsageMark | None:
        return MARKS.get(self._database, instance)

    def put_mark(self, mark: UsageMark) -> None:
        MARKS.put(self._database, mark)

    def remove_mark(self, instance: str) -> None:
        MARKS.remove(self._database, instance)

    def remove_app(self, app: str) -> None:
        for table in (HOURS, MARKS):
            table.delete(self._database, "WHERE app = ?", app)
