"""A few facts about the store itself, by name."""

from __future__ import annotations

from fourfold.store.db import Database


class Meta:
    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, key: str) -> str | None:
        found = self._database.query("SELECT value FROM meta WHERE key = ?", (key,))
        return str(found[0][0]) if found else None

    def beginning(self, prefix: str) -> dict[str, str]:
        """All whose name begins so."""
        found = self._database.query("SELECT key, value FROM meta WHERE substr(key, 1, ?) = ?", (len(prefix), prefix))
        return dict(found)

    def put(self, key: str, value: str) -> None:
        self._database.execute(
            "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            (key, value),
        )

    def remove(self, key: str) -> None:
        self._database.execute("DELETE FROM meta WHERE key = ?", (key,))
