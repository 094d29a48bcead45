"""Makes a home of a backup: read and checked beside, then moved into place, its database last. Blocking.

The old database goes first: until the new one is in its place the home has none, so that nothing of the one is ever met
with keys or volumes of the other. What is replaced is moved aside, never deleted. No daemon may run
meanwhile: whoever calls holds the lock.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO
from urllib.parse import quote

from fourfold.control.keeping import members as m
from fourfold.control.keeping.making import volumes
from fourfold.control.keeping.reading import Owner, Reading, Unpacked
from fourfold.control.keeping.rebuild import PENDING
from fourfold.errors import ConflictError, UserError, WorldError
from fourfold.paths import Paths
from fourfold.store.db import open_database
from fourfold.store.files import trees
from fourfold.store.files.blobs import Blobs
from fourfold.store.files.sources import write_atomically
from fourfold.store.files.staging import staging
from fourfold.store.migrations import known_migrations
from fourfold.store.tables import locks
from fourfold.store.tables.meta import Meta
from fourfold.supervise.spawner.ending import end_everything

SIDE_FILES = ("", "-wal", "-shm")


@dataclass
class Restored:
    """What came of it, for people."""

    apps: list[str]
    made_at: str
    host: str
    version: str
    volumes: int = 0
    last_event: int = 0
    """Its number; what happens after the restore has larger ones."""
    replaced: str | None = None
    """The folder that what was here has been moved to."""
    notes: list[str] = field(default_factory=list)


def restore(
    paths: Paths, raw: IO[bytes], *, now: str, force: bool, without_keys: bool, passphrase: Callable[[], str]
) -> Restored:
    """`now`: a name for what is moved aside. Raises UserError for a backup that cannot be used and a home that is not
    empty, before anything changes; WorldError when the disk refuses."""
    if not force:
        refuse_what_is_here(paths)
    with staging(paths.work, "restore", "restore the backup") as folder:
        newest = known_migrations()[-1].number
        try:
            unpacked = Reading(folder, newest, passphrase, without_keys, _owner).read(raw)
            last = _prepare(unpacked, now)
        except sqlite3.DatabaseError as error:
            what = f"cannot restore the backup: its database is damaged ({error}); nothing was changed"
            raise UserError(what, "copy it again, or take an older one") from error
        if not force:
            _refuse_volumes(paths, folder)
        trees.sync_file_system(folder)
        header = unpacked.header
        restored = Restored(list(header.apps), header.made_at, header.host, header.version, last_event=last)
        with _undisturbed():
            end_everything(paths)  # what ran here has its volumes open, and would go on with them
            _Placing(paths, unpacked, paths.state / f"replaced-{now}", restored).place()
        return restored


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Ctrl-C and a polite end wait: from here on it is moments, and half of it is of no use."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def refuse_what_is_here(paths: Paths) -> None:
    """Raises ConflictError for a home that has apps or secrets."""
    if not paths.database.exists():
        return
    found = {}
    try:
        with closing(sqlite3.connect(f"file:{quote(str(paths.database))}?mode=ro", uri=True)) as database:
            for table, column in (("apps", "name"), ("secrets", "app")):
                rows = database.execute(f"SELECT DISTINCT {column} FROM {table} ORDER BY 1 LIMIT 5").fetchall()
                found[table] = [str(name) for (name,) in rows]
    except sqlite3.DatabaseError as error:
        raise ConflictError(
            f"cannot restore here: {paths.database} cannot be read ({error})",
            "--force moves it aside and puts the backup in its place",
        ) from error
    if there := found["apps"] or found["secrets"]:
        kind = "has apps" if found["apps"] else "has secrets"
        raise ConflictError(
            f"cannot restore here: {paths.state} {kind} already ({', '.join(there)}); nothing was changed",
            "restore into an empty home; or --force: what is here is moved aside, and what runs here is ended",
        )


def _refuse_volumes(paths: Paths, staged: Path) -> None:
    for folder in volumes(staged / m.VOLUMES):
        place = paths.volumes / folder.relative_to(staged / m.VOLUMES)
        if place.is_dir() and any(place.iterdir()):
            raise ConflictError(
                f"cannot restore here: the volume {place} is here already, and is not empty; nothing was changed",
                "--force moves it aside",
            )


def _owner(database: Path, header: m.Header) -> Owner | None:
    """A backup of a user's Fourfold, restored by root: there each service has a user of its own."""
    if header.user == 0 or os.geteuid() != 0:
        return None
    with closing(sqlite3.connect(database)) as opened:
        rows = opened.execute("SELECT app, name, uid FROM services WHERE typeof(uid) = 'integer'")
        known = {(str(app), str(name)): int(uid) for app, name, uid in rows}
    return lambda app, service: known.get((app, service), 0)


def _prepare(unpacked: Unpacked, now: str) -> int:
    """The database: brought up to date, checked, and told that this is another life. -> number of its last event."""
    if not (path := unpacked.folder / m.DATABASE).exists():
        raise UserError("cannot restore the backup: it has no database; nothing was changed")
    with open_database(path) as database:
        if wrong := database.check():
            raise UserError(f"cannot restore the backup: its database is damaged ({wrong[0]}); nothing was changed")
        told = {"host": unpacked.header.host, "made_at": unpacked.header.made_at, "at": now}
        with database.transaction():
            Meta(database).put(PENDING, json.dumps(told))
            # None of them runs: to the daemon it is as after a restart of the machine.
            database.execute(
                "UPDATE instances SET boot_id = 'restored', pid = coalesce(pid, 0), "
                "start_time = coalesce(start_time, 0) WHERE state NOT IN ('exited', 'gone')"
            )
        ((last,),) = database.query("SELECT coalesce(max(seq), 0) FROM events")
    return int(last)


class _Placing:
    def __init__(self, paths: Paths, unpacked: Unpacked, aside: Path, restored: Restored) -> None:
        self._paths = paths
        self._unpacked = unpacked
        self._staged = unpacked.folder
        self._aside = aside
        self._told = restored

    def place(self) -> None:
        try:
            for suffix in SIDE_FILES:
                self._move_aside(self._paths.database.with_name(self._paths.database.name + suffix))
            trees.sync_folder(self._paths.state)
            self._addressed()
            self._trees()
            self._keys()
            self._settings()
            (self._staged / m.DATABASE).rename(self._paths.database)
            trees.sync_folder(self._paths.state)
        except OSError as error:
            raise WorldError(
                f"cannot restore the backup: {error.filename}: {error.strerror}",
                f"see to it and restore once more, with --force; what was here is in {self._aside}",
            ) from error
        self._told.replaced = str(self._aside) if self._aside.exists() else None

    def _addressed(self) -> None:
        blobs = Blobs(self._paths)
        for path in _in(self._staged / m.BLOBS):
            _take(path, blobs.path(path.name))
        for path in _in(self._staged / m.SOURCES):
            path.chmod(0o644)
            _take(path, self._paths.sources / path.name)
        for path in _in(self._staged / m.ARTIFACTS):
            _take(path, self._paths.artifacts / path.name)
        kept = locks.Locks(self._paths.locks)
        for path in _in(self._staged / m.LOCKS):
            kept.put(path.name, *locks.parse(path.read_bytes()))

    def _trees(self) -> None:
        for path in _in(self._staged / m.USAGE):
            self._replace(path, self._paths.usage / path.name)
        for path in volumes(self._staged / m.VOLUMES):
            self._replace(path, self._paths.volumes / path.relative_to(self._staged / m.VOLUMES))
            self._told.volumes += 1
        if running := self._unpacked.header.running:
            self._told.notes.append(
                f"volumes of {', '.join(running)} were read while they ran: they are as after a power cut"
            )

    def _keys(self) -> None:
        places = {"secrets.key": self._paths.secrets_key, "lambda-keys.json": self._paths.lambda_keys}
        for name, content in self._unpacked.keys.items():
            place = places.get(name) or self._paths.certificates / name.partition("/")[2]
            if place.exists() and place.read_bytes() != content:
                self._move_aside(place)
            write_atomically(place, content, 0o600)
        if not self._unpacked.keys:
            self._told.notes.append(
                "the keys were not restored: secrets cannot be read until secrets.key is in "
                f"{self._paths.state} again, and TLS needs its certificates with `fourfold up`"
            )
        if lost := self._unpacked.header.lost:
            self._told.notes.append(f"{len(lost)} sources were lost before the backup: what needs them has to be sent")

    def _settings(self) -> None:
        path, place = self._staged / m.SETTINGS, self._paths.settings
        if not path.exists():
            return
        if not place.exists():
            write_atomically(place, path.read_bytes())
        elif place.read_bytes() != path.read_bytes():
            self._told.notes.append(f"{place} was left as it is; the backup has another one")

    def _replace(self, path: Path, place: Path) -> None:
        self._move_aside(place)
        place.parent.mkdir(parents=True, exist_ok=True)
        for folder in (place.parent, place.parent.parent):  # services pass these on their way
            if folder != self._paths.volumes and self._paths.volumes in folder.parents:
                folder.chmod(0o755)
        _move(path, place)

    def _move_aside(self, place: Path) -> None:
        if not os.path.lexists(place):
            return
        home = self._paths.state if self._paths.state in place.parents else place.parent
        aside = self._aside / place.relative_to(home)
        aside.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _move(place, aside)


def _in(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _take(path: Path, place: Path) -> None:
    """What has that digest already is the same."""
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        _move(path, place)


def _move(path: Path, place: Path) -> None:
    """Folders of a home may be links to other disks."""
    try:
        path.rename(place)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        half = place.with_name(f".{place.name}.new")
        done = subprocess.run(["/bin/cp", "-a", "--", path, half], capture_output=True, text=True)
        if done.returncode != 0:
            trees.remove(half)
            raise OSError(errno.EIO, done.stderr.strip(), str(place)) from error
        half.rename(place)
        trees.remove(path) if path.is_dir() and not path.is_symlink() else path.unlink()
