"""What triggers remember, by key: checkpoints of a stream's shards, when a schedule is due next."""

from __future__ import annotations

from fourfold.store.db import Database


class TriggerStates:
    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, app: str, service: str, trigger: str, key: str) -> str | None:
        found = self._database.query(
            'SELECT value FROM trigger_state WHERE app = ? AND service = ? AND "trigger" = ? AND key = ?',
            (app, service, trigger, key),
        )
        return str(found[0][0]) if found else None

    def of(self, app: str, service: str, trigger: str) -> dict[str, str]:
        """Everything that a trigger remembers."""
        found = self._database.query(
            'SELECT key, value FROM trigger_state WHERE app = ? AND service = ? AND "trigger" = ?',
            (app, service, trigger),
        )
        return dict(found)

    def put(self, app: str, service: str, trigger: str, key: str, value: str) -> None:
        self._database.execute(
            'INSERT INTO trigger_state (app, service, "trigger", key, value) VALUES (?, ?, ?, ?, ?)'
            " ON CONFLICT DO UPDATE SET value = excluded.value",
            (app, service, trigger, key, value),
        )

    def remove(self, app: str, service: str, trigger: str, key: str | None = None) -> None:
        """One key, or all that the trigger remembers."""
        self._database.execute(
            'DELETE FROM trigger_state WHERE app = ?1 AND service = ?2 AND "trigger" = ?3 AND (?4 IS NULL OR key = ?4)',
            (app, service, trigger, key),
        )

    def triggers(self) -> set[tuple[str, str, str]]:
        """(app, service, trigger) of all that remember anything."""
        found = self._database.query('SELECT DISTINCT app, service, "trigger" FROM trigger_state')
        return {(app, service, trigger) for app, service, trigger in found}

    def remove_app(self, app: str) -> None:
        self._database.execute("DELETE FROM trigger_state WHERE app = ?", (app,))
