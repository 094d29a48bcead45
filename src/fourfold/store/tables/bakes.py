"""Builds asked for by themselves (`POST /v1/builds`): which wait, which are made, and what became of the others."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Literal

from fourfold.store.db import Database
from fourfold.store.tables.rows import Table

KEEP_ENDED = 100
"""Of each actor, those that have ended without a file."""

State = Literal["queued", "building", "done", "failed", "cancelled"]
OPEN = ("queued", "building")
_OPEN = f"state IN {OPEN}"


@dataclass(frozen=True)
class Bake:
    id: str
    """Of its operation too: events carry it."""
    app: str
    service: str
    pattern: str
    format: str
    source: str
    """Digest of the manifest."""
    spec: dict[str, Any]
    """The app, as JSON."""
    actor: str
    created_at: float
    state: State = "queued"
    started_at: float | None = None
    ended_at: float | None = None
    digest: str = ""
    """SHA-256 in hex of the file that was made; empty: there is none."""
    size: int = 0
    runtime: str | None = None
    argv: tuple[str, ...] = ()
    """What it runs."""
    error: str = ""
    hint: str | None = None


TABLE = Table("bakes", Bake, key=("id",))


def owner_of(actor: str) -> str:
    """Whose caches are used: those of apps that run here, and of other users, stay out of reach."""
    return f"bakery-{hashlib.sha256(actor.encode(errors='surrogateescape')).hexdigest()[:12]}"


class Bakes:
    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, row: Bake) -> None:
        TABLE.put(self._database, row)

    def get(self, id: str) -> Bake | None:
        return TABLE.get(self._database, id)

    def is_open(self, id: str) -> bool:
        row = self.get(id)
        return row is not None and row.state in OPEN

    def open(self, actor: str | None = None) -> list[Bake]:
        """Those that wait or are made, oldest first."""
        return TABLE.select(
            self._database, f"WHERE {_OPEN} AND (?1 IS NULL OR actor = ?1) ORDER BY created_at, id", actor
        )

    def recent(self, actor: str | None = None, app: str | None = None, limit: int = 100) -> list[Bake]:
        """Newest first."""
        return TABLE.select(
            self._database,
            "WHERE (?1 IS NULL OR actor = ?1) AND (?2 IS NULL OR app = ?2) ORDER BY created_at DESC, id LIMIT ?3",
            actor, app, limit,
        )  # fmt: skip

    def served(self) -> dict[str, float]:
        """Actor -> when one of theirs was begun last."""
        return dict(
            self._database.query("SELECT actor, max(started_at) FROM bakes WHERE started_at NOT NULL GROUP BY actor")
        )

    def of_digest(self, digest: str) -> Bake | None:
        """The newest one whose file that is."""
        found = TABLE.select(self._database, "WHERE digest = ? ORDER BY created_at DESC LIMIT 1", digest)
        return found[0] if found else None

    def digests(self) -> set[str]:
        """Of all files that a row names."""
        return {digest for (digest,) in self._database.query("SELECT DISTINCT digest FROM bakes WHERE digest != ''")}

    def sources(self) -> set[str]:
        """Of those that are still to be made."""
        return {source for (source,) in self._database.query(f"SELECT DISTINCT source FROM bakes WHERE {_OPEN}")}

    def stored_bytes(self, actor: str, besides: str = "") -> int:
        """Of all files of an actor, each once; without the file `besides`."""
        ((total,),) = self._database.query(
            "SELECT coalesce(sum(size), 0) FROM"
            " (SELECT DISTINCT digest, size FROM bakes WHERE actor = ? AND digest != '' AND digest != ?)",
            (actor, besides),
        )
        return int(total)

    def remove(self, id: str) -> None:
        TABLE.remove(self._database, id)

    def scopes(self) -> set[str]:
        """Names of the caches of all rows."""
        found = self._database.query("SELECT DISTINCT actor, app, service FROM bakes")
        return {f"{owner_of(actor)}.{app}.{service}" for actor, app, service in found}

    def trim(self, ended_before: float) -> int:
        """Forget those that ended before that, and of each actor the oldest without a file; how many went."""
        beyond = (
            "SELECT id FROM (SELECT id, row_number() OVER (PARTITION BY actor ORDER BY ended_at DESC, id) AS place"
            " FROM bakes WHERE state IN ('failed', 'cancelled')) WHERE place > ?"
        )
        old = TABLE.delete(self._database, f"WHERE NOT {_OPEN} AND ended_at < ?", ended_before)
        return old + TABLE.delete(self._database, f"WHERE id IN ({beyond})", KEEP_ENDED)
