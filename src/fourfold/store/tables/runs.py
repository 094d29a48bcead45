"""Runs of jobs: under way, and how the past ones ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fourfold.store.db import Database
from fourfold.store.tables.rows import Table

KEEP_RUNS = 100
"""Of each job, those that have ended."""

Outcome = Literal["", "ok", "failed", "timeout", "stopped"]
Ending = Literal["", "timeout", "stopped"]


@dataclass(frozen=True)
class RunRow:
    """One run of a job, with all its tries. Its instance has the same id, and is there while it is under way."""

    id: str
    app: str
    service: str
    release: int
    pattern: str
    source: str
    """What it comes from: run, schedule, s3, …"""
    created_at: float
    trigger: str = ""
    """Identity of its trigger."""
    lane: str = ""
    """See `store.tables.queue.EventRow`."""
    event: str = ""
    """What the program finds in FOURFOLD_EVENT."""
    actor: str = ""
    attempts: int = 0
    """How often it was started."""
    ending: Ending = ""
    """Why it is being ended."""
    retry_at: float | None = None
    """It has failed, and is tried again then."""
    ended_at: float | None = None
    outcome: Outcome = ""
    code: int | None = None
    reason: str = ""
    """How its last try ended, in words."""


TABLE = Table("runs", RunRow, key=("id",))


class Runs:
    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, row: RunRow) -> None:
        TABLE.put(self._database, row)

    def get(self, id: str) -> RunRow | None:
        return TABLE.get(self._database, id)

    def under_way(self) -> list[RunRow]:
        """Oldest first."""
        return TABLE.select(self._database, "WHERE ended_at IS NULL ORDER BY created_at, id")

    def move(self, by: float) -> None:
        """Times of those that are under way: the machine's clock was set forward by so many seconds."""
        self._database.execute(
            "UPDATE runs SET created_at = created_at + ?1, retry_at = retry_at + ?1 WHERE ended_at IS NULL", (by,)
        )

    def of(self, app: str, service: str | None = None, limit: int = KEEP_RUNS) -> list[RunRow]:
        """Newest first."""
        return TABLE.select(
            self._database,
            "WHERE app = ?1 AND (?2 IS NULL OR service = ?2) ORDER BY created_at DESC, id DESC LIMIT ?3",
            app, service, limit,
        )  # fmt: skip

    def trim(self, app: str, service: str) -> int:
        """Forget the oldest beyond what is kept; how many went."""
        old = (
            "SELECT id FROM runs WHERE app = ?1 AND service = ?2 AND ended_at IS NOT NULL"
            " ORDER BY created_at DESC, id DESC LIMIT -1 OFFSET ?3"
        )
        return TABLE.delete(self._database, f"WHERE id IN ({old})", app, service, KEEP_RUNS)

    def remove_app(self, app: str) -> int:
        return TABLE.delete(self._database, "WHERE app = ?", app)
