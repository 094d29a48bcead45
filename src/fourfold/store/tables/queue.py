"""Events that are delivered later, and those that were given up, which are kept for a while."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from sys import intern
from typing import Literal

from fourfold.store.db import Database
from fourfold.store.tables.rows import Table

KEEP_SECONDS = 14 * 86_400.0
"""Of those that were given up."""
KEEP_FAILED = 1_000
"""Of each service."""
KEEP_BYTES = 64 * 1024 * 1024
"""Of each service's that were given up."""


@dataclass(frozen=True)
class EventRow:
    """One event on its way to a service."""

    seq: int
    """Given by the store: the order in which they came."""
    id: str
    """Its request id, a UUID: the same at each try."""
    app: str
    service: str
    payload: bytes
    source: str
    """What it comes from: invoke, schedule, s3, ses, on_failure, replay."""
    created_at: float
    due_at: float
    """Not tried before."""
    trigger: str = ""
    """Identity of the trigger that it comes from."""
    lane: str = ""
    """Those of one lane are delivered one after the other; empty: it is in none."""
    target: str = ""
    """Empty: the service itself; else the SQS queue that it is told to (name, url or ARN)."""
    client_context: str = ""
    attempts: int = 0
    """How often the service has failed with it."""
    state: Literal["waiting", "failed"] = "waiting"
    reason: str = ""
    """Why it was given up: RetriesExhausted, EventAgeExceeded."""
    answer: bytes = b""
    """What the service last said when it failed."""
    error: str = ""
    """Unhandled or Handled, of that; or what was wrong in words."""
    failed_at: float | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """What is known of every event that waits, without its payload: there may be 100,000 of a service."""

    seq: int
    line: str
    """`APP.SERVICE`, or `APP.SERVICE>TARGET`."""
    trigger: str
    lane: str
    size: int
    created_at: float
    due_at: float

    @staticmethod
    def of(row: EventRow) -> Waiting:
        line = line_of(row.app, row.service, row.target)
        return Waiting(row.seq, line, row.trigger, row.lane, len(row.payload), row.created_at, row.due_at)


def line_of(app: str, service: str, target: str = "") -> str:
    """What it tells an SQS queue of waits in a line of its own: a queue that is gone does not hold up the service."""
    return intern(f"{app}.{service}>{target}" if target else f"{app}.{service}")


TABLE = Table("queue", EventRow, key=("seq",))


class Queued:
    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, row: EventRow) -> EventRow:
        """Store a new one (its `seq` is ignored); returns it with the seq it got."""
        return TABLE.append(self._database, row)

    def get(self, seq: int) -> EventRow | None:
        return TABLE.get(self._database, seq)

    def put(self, row: EventRow) -> None:
        TABLE.put(self._database, row)

    def remove(self, seq: int) -> bool:
        return TABLE.remove(self._database, seq)

    def remove_app(self, app: str) -> int:
        return TABLE.delete(self._database, "WHERE app = ?", app)

    def waiting(self) -> list[Waiting]:
        """All that are to be delivered, in their order."""
        found = self._database.query(
            'SELECT seq, app, service, target, "trigger", lane, length(payload), created_at, due_at FROM queue'
            " WHERE state = 'waiting' ORDER BY seq"
        )
        return [
            Waiting(seq, line_of(app, service, target), intern(trigger), intern(lane), *rest)
            for seq, app, service, target, trigger, lane, *rest in found
        ]

    def move(self, by: float) -> None:
        """Times of all that are to be delivered: the machine's clock was set forward by so many seconds."""
        self._database.execute(
            "UPDATE queue SET created_at = created_at + ?1, due_at = due_at + ?1 WHERE state = 'waiting'", (by,)
        )

    def failed(self, app: str, service: str | None = None) -> list[EventRow]:
        """Those that were given up, newest first."""
        return TABLE.select(
            self._database,
            "WHERE app = ?1 AND (?2 IS NULL OR service = ?2) AND state = 'failed' ORDER BY failed_at DESC, seq DESC",
            app, service,
        )  # fmt: skip

    def count_failed(self, app: str, service: str) -> int:
        found = self._database.query(
            "SELECT count(*) FROM queue WHERE app = ? AND service = ? AND state = 'failed'", (app, service)
        )
        return int(found[0][0])

    def trim(self, now: float, services: Sequence[tuple[str, str]] | None = None) -> int:
        """Forget the oldest that were given up, beyond what is kept of each service; how many went."""
        if services is None:
            found = self._database.query("SELECT DISTINCT app, service FROM queue WHERE state = 'failed'")
            services = [(app, service) for app, service in found]
        return sum(self._trim(app, service, now - KEEP_SECONDS) for app, service in services)

    def _trim(self, app: str, service: str, oldest: float) -> int:
        found = self._database.query(
            "SELECT seq, length(payload) + length(answer), failed_at FROM queue"
            " WHERE app = ? AND service = ? AND state = 'failed' ORDER BY failed_at DESC, seq DESC",
            (app, service),
        )
        total, gone = 0, []
        for place, (seq, size, failed_at) in enumerate(found):
            total += size
            if failed_at < oldest or place >= KEEP_FAILED or (total > KEEP_BYTES and place > 0):
                gone.append(seq)
        for seq in gone:
            self.remove(seq)
        return len(gone)
