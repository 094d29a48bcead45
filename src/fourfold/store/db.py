"""One SQLite file, opened so that a power cut loses nothing: WAL, full sync, foreign keys, one writer.

Everything here is called from the daemon's event loop thread and returns at once; a transaction must never span an
`await`, or another task's statements would join it. Errors of SQLite become errors for people (see `explained`).
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from types import TracebackType
from typing import Any

from fourfold.errors import UserError, WorldError
from fourfold.store.files import trees
from fourfold.store.migrations import Migration, known_migrations

BUSY_SECONDS = 2.0
"""How long to wait for somebody else's lock. The daemon stands still meanwhile, so not longer."""
OLDEST_SQLITE = (3, 37)
"""STRICT tables: https://sqlite.org/stricttables.html"""

FULL = ("its disk is full", "free some space on the disk of {folder}, then try again; nothing was changed")
LOCKED = ("another program holds it locked", "close whatever else has {path} open (a shell, a backup), then try again")
READONLY = ("it cannot be written", "check owner and mode of {folder} and that its disk is not mounted read-only")
DAMAGED = (
    "the file is damaged",
    "put a backup in its place: fourfold restore --force FILE; or move {path} away, with its -wal and -shm files, "
    "to begin with an empty store: what runs is ended then, until `fourfold up` starts it anew",
)
BROKEN = ("reading or writing its disk failed", "look for disk errors in the kernel's log (dmesg), then try again")

WHY: dict[int, tuple[str, str]] = {
    sqlite3.SQLITE_FULL: FULL,
    sqlite3.SQLITE_IOERR_SHMSIZE: FULL,
    sqlite3.SQLITE_BUSY: LOCKED,
    sqlite3.SQLITE_LOCKED: LOCKED,
    sqlite3.SQLITE_PROTOCOL: LOCKED,
    sqlite3.SQLITE_READONLY: READONLY,
    sqlite3.SQLITE_PERM: READONLY,
    sqlite3.SQLITE_AUTH: READONLY,
    sqlite3.SQLITE_CANTOPEN: READONLY,
    sqlite3.SQLITE_CORRUPT: DAMAGED,
    sqlite3.SQLITE_NOTADB: DAMAGED,
    sqlite3.SQLITE_IOERR: BROKEN,
}
"""Result code, extended or primary (https://sqlite.org/rescode.html), to what happened and what to do."""


class Database:
    """A connection whose errors say what to do, and whose transactions nest."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection
        self._depth = 0
        self.around_commit: Callable[[], AbstractContextManager[None]] = nullcontext
        """Entered around each commit, by who wants to know how long they take."""

    def query(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a SELECT or PRAGMA."""
        with explained("read", self.path):  # damage may show at any row, not only at the first
            return self._connection.execute(sql, values).fetchall()

    def execute(self, sql: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        """Run a statement that writes; outside of `transaction()` it is durable when this returns."""
        if self._depth and not self._connection.in_transaction:
            # After some errors SQLite has rolled everything back by itself: going on would write half of it.
            raise WorldError("cannot go on with the transaction: an error before has already undone it")
        return self._run(sql, values)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, durable when the outermost block ends. An inner block that fails undoes only itself."""
        point = f"nested_{self._depth}"
        begin, commit = (f"SAVEPOINT {point}", f"RELEASE {point}") if self._depth else ("BEGIN IMMEDIATE", "COMMIT")
        self.execute(begin)
        self._depth += 1
        try:
            yield
            with nullcontext() if self._depth > 1 else self.around_commit():
                self.execute(commit)
        except BaseException:
            self._undo(point)
            raise
        finally:
            self._depth -= 1

    def _undo(self, point: str) -> None:
        if not self._connection.in_transaction:
            return
        if self._depth == 1:
            self._run("ROLLBACK")
        else:
            self._run(f"ROLLBACK TO {point}")
            self._run(f"RELEASE {point}")

    def check(self) -> list[str]:
        """What SQLite finds wrong with the file; empty when it is sound. Reads all of it."""
        try:
            found = [str(line) for (line,) in self.query("PRAGMA integrity_check(10)")]
        except WorldError as error:
            return [error.what]
        return [] if found == ["ok"] else found

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Database:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, sql: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        with explained("write", self.path):
            return self._connection.execute(sql, values)


def open_database(
    path: Path, *, busy_seconds: float = BUSY_SECONDS, migrations: Sequence[Migration] | None = None
) -> Database:
    """Open the store, making it (mode 0600) or bringing it up to date first.

    Raises UserError for a store written by a newer Fourfold, WorldError when it is locked, damaged, not writable or
    its disk is full.
    """
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise WorldError(
            f"cannot open the store: SQLite {sqlite3.sqlite_version} is too old",
            f"use a Python with SQLite {'.'.join(map(str, OLDEST_SQLITE))} or newer",
        )
    _touch(path)
    with explained("open", path):
        connection = sqlite3.connect(path, timeout=busy_seconds, isolation_level=None)
    try:
        with explained("open", path):
            _configure(connection, path)
            _migrate(connection, path, known_migrations() if migrations is None else migrations)
    except BaseException:
        connection.close()
        raise
    return Database(path, connection)


def _touch(path: Path) -> None:
    """SQLite would make the file with the umask's mode; its -wal and -shm files take over the mode made here.

    One that is there is not opened: to close it would give up the locks of all connections that this process has to it
    (https://sqlite.org/howtocorrupt.html, 2.2), and the next program to close the store would delete their log.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        return
    except OSError as error:
        raise WorldError(
            f"cannot open the store {path}: {error.strerror}", READONLY[1].format(folder=path.parent)
        ) from error


def _configure(connection: sqlite3.Connection, path: Path) -> None:
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise WorldError(
            f"cannot open the store {path}: its file system cannot hold a write-ahead log",
            "keep the state folder on a local disk (FOURFOLD_HOME says where it is)",
        )
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def _migrate(connection: sqlite3.Connection, path: Path, migrations: Sequence[Migration]) -> None:
    newest = migrations[-1].number
    version = _version(connection)
    if version > newest:
        raise UserError(
            f"cannot open the store {path}: a newer Fourfold wrote it (its version is {version}, "
            f"this program knows {newest})",
            "install the newer Fourfold again; docs/upgrade.md has the way back",
        )
    if version == newest:
        return
    with _alone(path):
        version = _version(connection)  # another program may have done it meanwhile
        missing = [migration for migration in migrations if migration.number > version]
        if missing and version:
            _keep_copy(connection, path, version)
        if missing:
            _apply(connection, missing)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Two programs that bring one store up to date at once would keep copies of what the other has half done."""
    lock = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def copy_of(path: Path, version: int) -> Path:
    """Where the store is kept as it was before a newer program changed its tables."""
    return path.with_name(f"{path.name}.version-{version}")


def _keep_copy(connection: sqlite3.Connection, path: Path, version: int) -> None:
    """The way back to the program that wrote it; those of earlier upgrades go."""
    place = copy_of(path, version)
    half = place.with_name(f".{place.name}.new")
    try:
        half.unlink(missing_ok=True)
        _touch(half)
        copy = sqlite3.connect(half)
        try:
            connection.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")
        finally:
            copy.close()
        trees.flush([half])
        half.replace(place)
        trees.sync_folder(place.parent)
        for older in path.parent.glob(f"{path.name}.version-*"):
            if older != place:
                older.unlink()
    except OSError as error:
        raise WorldError(
            f"cannot open the store {path}: no copy of it can be kept before its tables change: {error.strerror}",
            f"make room on the disk of {path.parent}; nothing was changed",
        ) from error
    finally:
        half.unlink(missing_ok=True)


def _apply(connection: sqlite3.Connection, migrations: Sequence[Migration]) -> None:
    """All or none."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        for migration in migrations:
            for statement in migration.statements():
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {migrations[-1].number}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


@contextmanager
def explained(doing: str, path: Path) -> Iterator[None]:
    """Turn what SQLite reports about the world into a WorldError; mistakes in a statement stay what they are."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", 0)
        why = WHY.get(code) or WHY.get(code & 0xFF)
        if why is None:
            raise
        what, hint = why
        raise WorldError(
            f"cannot {doing} the store {path}: {what} ({error})", hint.format(path=path, folder=path.parent)
        ) from error
