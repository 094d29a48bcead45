"""How the store came to be: numbered SQL files (`0001_first.sql`), each applied once, in order, whole or not at all.

A file that was released is never changed again; a new shape is a new file.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources


@dataclass(frozen=True)
class Migration:
    number: int
    """The store's `user_version` after it."""
    sql: str

    def statements(self) -> Iterator[str]:
        """One at a time: `executescript` would end the transaction that makes the migration whole."""
        pending = ""
        for line in self.sql.splitlines(keepends=True):
            pending += line
            if sqlite3.complete_statement(pending):
                yield pending
                pending = ""
        if pending.strip():
            raise ValueError(f"migration {self.number} ends in the middle of a statement: {pending.strip()}")


def known_migrations() -> list[Migration]:
    """All migrations of this program, oldest first."""
    files = [file for file in resources.files(__name__).iterdir() if file.name.endswith(".sql")]
    found = [Migration(int(file.name.split("_")[0]), file.read_text("utf-8")) for file in files]
    return sorted(found, key=lambda migration: migration.number)
