"""Events: what happened, numbered without end, the oldest trimmed."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from fourfold.clock import Clock
from fourfold.store.db import Database
from fourfold.store.model import Event
from fourfold.store.tables.rows import Table, clean_text

LINES = "kind = 'build.log'"
_ROUTINE = ("run.*", "event.*", "trigger.*", "instance.*", "deploy.progress", "security.*")
ROUTINE = "(" + " OR ".join(f"kind GLOB '{kind}'" for kind in _ROUTINE) + ")"
"""A job may run every second, and must not push out what people did."""

TABLE = Table("events", Event, key=("seq",))


@dataclass(frozen=True)
class Which:
    """What else events must be to be wanted; nothing given: all are."""

    kinds: tuple[str, ...] = ()
    """One of these: `deploy.failed`, or a pattern such as `deploy.*`."""
    since: float | None = None
    """Not older; epoch seconds."""

    def wants(self, kind: str) -> bool:
        return not self.kinds or any(fnmatchcase(kind, pattern) for pattern in self.kinds)

    def values(self) -> tuple[str | None, float | None]:
        return (json.dumps(self.kinds) if self.kinds else None, self.since)


ALL = Which()
_WHICH = (
    " AND (?{0} IS NULL OR EXISTS (SELECT 1 FROM json_each(?{0}) WHERE events.kind GLOB json_each.value))"
    " AND (?{1} IS NULL OR at >= ?{1})"
)


class Events:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def make(
        self,
        kind: str,
        message: str,
        app: str | None,
        service: str | None,
        instance: str | None,
        actor: str | None,
        data: dict[str, Any],
    ) -> Event:
        """An event as of now, not stored and without a number yet."""
        facts = {name: _clean(fact) for name, fact in data.items()}
        return Event(0, self._clock.now(), app, service, instance, kind, clean_text(message), actor, facts)

    def add_all(self, events: Iterable[Event]) -> None:
        """Store what `make` made, in one transaction."""
        with self._database.transaction():
            for event in events:
                TABLE.append(self._database, event)

    def last(self) -> int:
        """The number of the newest event ever; 0 before the first."""
        found = self._database.query("SELECT seq FROM sqlite_sequence WHERE name = 'events'")
        return int(found[0][0]) if found else 0

    def after(
        self,
        seq: int,
        app: str | None = None,
        limit: int = 1000,
        operation: str | None = None,
        which: Which = ALL,
    ) -> list[Event]:
        """The oldest `limit` events with a greater number, of all apps or one, of all operations or one."""
        return TABLE.select(
            self._database,
            "WHERE seq > ?1 AND (?2 IS NULL OR app = ?2)"
            " AND (?3 IS NULL OR json_extract(data, '$.operation') = ?3)"
            f"{_WHICH.format(5, 6)} ORDER BY seq LIMIT ?4",
            seq, app, operation, limit, *which.values(),
        )  # fmt: skip

    def before(self, newest: int, app: str | None = None, operation: str | None = None, which: Which = ALL) -> int:
        """The number after which there are only the `newest` events, of all apps or one, of all operations or one."""
        found = self._database.query(
            "SELECT seq FROM events WHERE (?1 IS NULL OR app = ?1)"
            f" AND (?2 IS NULL OR json_extract(data, '$.operation') = ?2){_WHICH.format(4, 5)}"
            " ORDER BY seq DESC LIMIT 1 OFFSET ?3",
            (app, operation, newest, *which.values()),
        )
        return int(found[0][0]) if found else 0

    def newest(self, app: str, service: str | None, *kinds: str) -> Event | None:
        """Of these kinds, of one service or, None, of the app as a whole."""
        found = TABLE.select(
            self._database,
            "WHERE app = ?1 AND service IS ?2 AND kind IN (SELECT value FROM json_each(?3)) ORDER BY seq DESC LIMIT 1",
            app, service, json.dumps(kinds),
        )  # fmt: skip
        return found[0] if found else None

    def unended(self, newest: int = 1000) -> list[str]:
        """Operations that have begun and not ended, among the `newest` that was told of operations; newest first."""
        found = self._database.query(
            "SELECT kind, json_extract(data, '$.operation') FROM events"
            " WHERE kind IN ('operation.started', 'operation.done', 'operation.failed') ORDER BY seq DESC LIMIT ?",
            (newest,),
        )
        ended = {id for kind, id in found if kind != "operation.started"}
        return [id for kind, id in found if kind == "operation.started" and id not in ended]

    def trim(self, keep: int, keep_lines: int, keep_routine: int) -> int:
        """Forget all but the newest `keep` events, `keep_lines` lines of builds, and of what happens by itself
        `keep_routine` of each service and kind, all in all `keep`; how many went."""
        gone = self._trim(LINES, keep_lines) + self._trim(f"NOT ({LINES} OR {ROUTINE})", keep)
        beyond = (
            "SELECT seq FROM"
            " (SELECT seq, row_number() OVER (PARTITION BY app, service, kind ORDER BY seq DESC) AS place"
            f" FROM events WHERE {ROUTINE}) WHERE place > ?"
        )
        gone += TABLE.delete(self._database, f"WHERE seq IN ({beyond})", keep_routine)
        return gone + self._trim(ROUTINE, keep)

    def _trim(self, which: str, keep: int) -> int:
        oldest = f"SELECT seq FROM events WHERE {which} ORDER BY seq DESC LIMIT 1 OFFSET ?"
        return TABLE.delete(self._database, f"WHERE {which} AND seq <= ({oldest})", keep)


def _clean(fact: Any) -> Any:
    """As it comes back from JSON, and fit to be sent as UTF-8."""
    if isinstance(fact, str):
        return clean_text(fact)
    if isinstance(fact, list | tuple):
        return [_clean(part) for part in fact]
    return {clean_text(name): _clean(part) for name, part in fact.items()} if isinstance(fact, dict) else fact
