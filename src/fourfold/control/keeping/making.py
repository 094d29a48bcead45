"""Makes a backup, piece by piece, while everything goes on. Blocking: for threads.

The database is copied at one moment, by SQLite itself; everything else is read as the database's copy names it. Nothing
is kept in memory but a piece at a time, and digests of what has been written.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import sqlite3
import tarfile
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import quote

from fourfold import __version__
from fourfold.control.keeping import members as m
from fourfold.control.keeping import tree, vault
from fourfold.control.keeping.tree import Member
from fourfold.errors import NotFoundError, WorldError
from fourfold.paths import Paths
from fourfold.store.db import explained
from fourfold.store.files.artifacts import Artifacts
from fourfold.store.files.blobs import Blobs
from fourfold.store.files.sources import Sources
from fourfold.store.files.staging import staging
from fourfold.store.tables import locks

PIECE = 256 * 1024
"""Bytes that are handed on at once, at least."""


@dataclass(frozen=True)
class Wanted:
    volumes: bool
    artifacts: bool
    keys: m.Keys
    passphrase: str = ""


class Backup:
    """One, ready to be read once. `close` it whatever happens."""

    def __init__(self, paths: Paths, wanted: Wanted, made_at: str, running: Sequence[str]) -> None:
        """Copies the database. Raises UserError for keys that cannot be kept so, WorldError when the disk refuses."""
        if wanted.keys == "sealed":
            vault.check_passphrase(wanted.passphrase)
        self._paths = paths
        self._wanted = wanted
        self._sources = Sources(paths, Blobs(paths))
        self._blobs = Blobs(paths)
        self._artifacts = Artifacts(paths)
        self.left_out = 0
        """Sockets, pipes, devices, and what lies too deep, so far."""
        with staging(paths.work, "backup", "make the backup") as folder:
            copy = folder / m.DATABASE
            self._store = _copy(paths.database, copy)
            with sqlite3.connect(copy) as database:
                apps = [str(name) for (name,) in database.execute("SELECT name FROM apps ORDER BY name")]
                self.sources = frozenset(_sources(database))
                self._built = frozenset(str(name) for (name,) in database.execute("SELECT artifact FROM builds"))
            database.close()
            # Neither has a name any more once this is left: gone with whoever reads them.
            self._database: IO[bytes] = os.fdopen(os.open(copy, os.O_RDONLY | os.O_CLOEXEC), "rb")
            self._sums: IO[bytes] = os.fdopen(os.open(folder / m.SUMS, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC), "w+b")
        there = frozenset(kept.digest for kept in self._sources.list())
        self.header = m.Header(
            format=m.FORMAT,
            version=__version__,
            store=self._store,
            made_at=made_at,
            host=socket.gethostname(),
            user=os.geteuid(),
            apps=tuple(apps),
            keys=wanted.keys,
            volumes=wanted.volumes,
            artifacts=wanted.artifacts,
            running=tuple(running) if wanted.volumes else (),
            lost=tuple(sorted(self.sources - there)),
        )

    def close(self) -> None:
        self._database.close()
        self._sums.close()

    def pieces(self) -> Generator[bytes, None, None]:
        """All of it. Raises WorldError when something cannot be read: what has been given so far is no backup."""
        try:
            waiting, size = [], 0
            for piece in self._tar():
                waiting.append(piece)
                size += len(piece)
                if size >= PIECE:
                    yield b"".join(waiting)
                    waiting, size = [], 0
            yield b"".join(waiting)
        except OSError as error:
            what = f"cannot make the backup: {error.filename or 'a file'}: {error.strerror or error}"
            raise WorldError(what, "run it again; the daemon's user must be able to read all of its folders") from error

    def _tar(self) -> Iterator[bytes]:
        for info, content in self._members():
            yield from self._member(info, content)
        yield from self._member(*self._file(m.SUMS, self._sums), listed=False)
        yield bytes(2 * tarfile.BLOCKSIZE)

    def _member(self, info: tarfile.TarInfo, content: Iterable[bytes], listed: bool = True) -> Iterator[bytes]:
        yield info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
        digest = hashlib.sha256()
        for piece in content:
            digest.update(piece)
            yield piece
        if info.isreg():
            yield bytes(-info.size % tarfile.BLOCKSIZE)
            if listed:
                self._sums.write(m.sum_line(digest.hexdigest(), info.name))

    # -- what is in it ----------------------------------------------------------------------------------------------

    def _members(self) -> Iterator[Member]:
        yield _text(m.HEADER, self.header.as_bytes())
        yield self._file(m.DATABASE, self._database)
        if self._wanted.keys != "none":
            yield _text(m.KEYS, self._keys())
        if self._paths.settings.is_file():
            yield _text(m.SETTINGS, self._paths.settings.read_bytes())
        if self._paths.usage.is_dir():
            yield from tree.members(self._paths.usage, m.USAGE, self._leave_out)
        yield from self._of_sources()
        yield from self._locks()
        if self._wanted.artifacts:
            for digest in sorted(self._built):
                if self._artifacts.has(digest):
                    folder = self._paths.artifacts / digest
                    yield from tree.members(folder, f"{m.ARTIFACTS}/{digest}", self._leave_out)
        if self._wanted.volumes:
            for folder in volumes(self._paths.volumes):
                name = f"{m.VOLUMES}/{folder.relative_to(self._paths.volumes)}"
                yield from tree.members(folder, name, self._leave_out)

    def _keys(self) -> bytes:
        files = {path.name: path.read_bytes() for path in (self._paths.secrets_key, self._paths.lambda_keys)
                 if path.is_file()}  # fmt: skip
        for path in sorted(self._paths.certificates.glob("*")):
            if path.is_file() and not path.name.startswith("."):
                files[f"certificates/{path.name}"] = path.read_bytes()
        return vault.plain(files) if self._wanted.keys == "plain" else vault.sealed(files, self._wanted.passphrase)

    def _of_sources(self) -> Iterator[Member]:
        wanted: set[str] = set()
        for digest in sorted(self.sources):
            try:
                manifest = self._sources.get(digest)
            except NotFoundError:
                continue  # told in the header
            wanted.update(manifest.blobs)
            yield _text(f"{m.SOURCES}/{digest}", manifest.canonical)
        for digest in sorted(wanted):
            if self._blobs.has(digest):
                with self._blobs.path(digest).open("rb") as file:
                    yield self._file(f"{m.BLOBS}/{digest}", file)

    def _locks(self) -> Iterator[Member]:
        newest: dict[str, tuple[float, locks.Lock]] = {}
        for digest in sorted(self._built):
            try:
                artifact = self._artifacts.get(digest)
            except NotFoundError:
                continue
            for key, lock in artifact.locks.items():
                newest[key] = max(newest.get(key, (0.0, lock)), (artifact.built_at, lock), key=lambda each: each[0])
        brought = locks.Locks(self._paths.locks)
        for path in sorted(self._paths.locks.glob("[0-9a-f]*")):
            if path.name not in newest and (kept := brought.get(path.name)) is not None:
                newest[path.name] = kept
        for key, (built_at, lock) in sorted(newest.items()):
            yield _text(f"{m.LOCKS}/{key}", locks.as_bytes(built_at, lock))

    def _file(self, name: str, file: IO[bytes]) -> Member:
        """From its beginning, as long as it is now."""
        file.flush()
        status = os.fstat(file.fileno())
        os.lseek(file.fileno(), 0, os.SEEK_SET)
        info = tarfile.TarInfo(name)
        info.size, info.mode, info.mtime = status.st_size, 0o600, int(status.st_mtime)
        return info, tree.content(file.fileno(), info.size)

    def _leave_out(self, path: str) -> None:
        self.left_out += 1


def volumes(root: Path) -> list[Path]:
    """All volumes, by app, service and name; not those that are just being made."""
    return sorted(path for path in root.glob("*/*/*") if path.is_dir() and not path.name.startswith("."))


def _text(name: str, content: bytes) -> Member:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), 0o600
    return info, (content,)


def _copy(database: Path, to: Path) -> int:
    """A copy as of now, while others read and write, in one file. -> its `user_version`."""
    if not database.exists():
        raise WorldError(
            f"cannot copy the store {database}: it was removed", "`fourfold doctor` says how to have it back"
        )
    with explained("copy", database):
        source = sqlite3.connect(f"file:{quote(str(database))}?mode=ro", uri=True)
        copy = sqlite3.connect(to)
        try:
            to.chmod(0o600)
            source.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")
            (version,) = copy.execute("PRAGMA user_version").fetchone()
            return int(version)
        finally:
            source.close()
            copy.close()


def _sources(database: sqlite3.Connection) -> Iterator[str]:
    """Of all releases, and of functions that are yet to be deployed."""
    for (source,) in database.execute("SELECT DISTINCT source FROM releases"):
        yield str(source)
    for (wanted,) in database.execute("SELECT wanted FROM functions WHERE wanted IS NOT NULL"):
        yield str(json.loads(wanted)["source"])
