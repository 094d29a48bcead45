"""Reads a backup into an empty folder, and believes nothing of it before it was checked. Blocking.

Names lead nowhere but into that folder (`build.oci.rootfs` writes by descriptors), and what is unpacked is not used
before its last member has said that nothing is missing.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from fourfold.build.oci.names import RefusedError, parts_of
from fourfold.build.oci.rootfs import Attributes, Rootfs
from fourfold.build.oci.tar import Entry, MalformedError, Reader, Stream
from fourfold.control.keeping import members as m
from fourfold.control.keeping import vault
from fourfold.errors import UserError
from fourfold.store.manifest import is_digest
from fourfold.store.tables import locks

SMALL = 64 * 1024**2
"""Bytes of a member that is read as a whole."""
MOST_FOLDERS = 10_000_000
_TREES = {m.USAGE: 1, m.ARTIFACTS: 2, m.VOLUMES: 4}
"""Members that are trees, and how many parts of their names say which."""
_KEY_FILES = re.compile(r"secrets\.key|lambda-keys\.json|certificates/[A-Za-z0-9][A-Za-z0-9._-]*")

Owner = Callable[[str, str], int]
"""(app, service) -> uid of its volumes."""


@dataclass(frozen=True)
class Unpacked:
    """What a backup held, in `folder` as members are named; sources and blobs are what their digests say. Not so
    artifacts, whose digests are of what they were made of: they are what the backup's maker had."""

    folder: Path
    header: m.Header
    keys: dict[str, bytes]
    """Of secret files: `secrets.key`, `lambda-keys.json`, `certificates/…`."""


class Reading:
    def __init__(
        self,
        folder: Path,
        newest_store: int,
        passphrase: Callable[[], str],
        without_keys: bool,
        owner: Callable[[Path, m.Header], Owner | None],
    ) -> None:
        """`newest_store`: what this program can read; `owner`: whom volumes go to, told from the database in the
        backup, where they cannot belong to whom they did."""
        self._folder = folder
        self._newest_store = newest_store
        self._passphrase = passphrase
        self._without_keys = without_keys
        self._owner = owner
        self._header: m.Header | None = None
        self._keys: dict[str, bytes] = {}
        self._place = 0
        self._owners: Owner | None = None
        self._tree: tuple[str, Rootfs] | None = None
        self._complete = False

    def read(self, raw: IO[bytes]) -> Unpacked:
        """Raises UserError for whatever is wrong with it, OSError when the disk refuses."""
        try:
            with (self._folder / "sums").open("w+b") as sums:
                self._take_all(raw, sums)
        except (MalformedError, RefusedError, EOFError, gzip.BadGzipFile, zlib.error, RecursionError) as error:
            what = str(error) if self._header is not None else f"it is no backup of Fourfold ({error})"
            raise UserError(
                f"cannot read the backup: {what}; nothing was changed",
                "make sure that all of it was copied: `sha256sum` of both files should agree",
            ) from error
        finally:
            self._close_tree()
        if self._header is None or not self._complete:
            raise UserError(
                "cannot read the backup: it breaks off before its end; nothing was changed",
                "copy it again, or take an older one",
            )
        return Unpacked(self._folder, self._header, self._keys)

    def _take_all(self, raw: IO[bytes], sums: IO[bytes]) -> None:
        reader = Reader(_decompressed(raw))
        for entry in reader:
            if self._complete:
                raise MalformedError(f"{_shown(entry.name)} comes after its end")
            try:
                self._check_order(entry)
                if entry.name == m.SUMS:
                    self._compare(reader, sums)
                elif entry.kind == "file":
                    digest = hashlib.sha256()
                    self._file(entry, _hashed(reader.read(), digest.update), digest.hexdigest)
                    sums.write(m.sum_line(digest.hexdigest(), entry.name))
                else:
                    self._other(entry)
            except RefusedError as error:
                raise RefusedError(f"{_shown(entry.name)}: {error}") from error

    def _check_order(self, entry: Entry) -> None:
        kind = m.kind_of(entry.name)
        if self._header is None and entry.name != m.HEADER:
            raise MalformedError(f"it does not begin with {m.HEADER}")
        if kind is None or (place := m.ORDER.index(kind)) < self._place:
            raise MalformedError(f"{_shown(entry.name)} has no place in a backup")
        if kind not in _TREES and (place == self._place and kind == entry.name and self._header is not None):
            raise MalformedError(f"{_shown(entry.name)} is there twice")
        self._place = place

    def _compare(self, reader: Reader, sums: IO[bytes]) -> None:
        """Its own list of files against what has come."""
        sums.seek(0)
        for piece in reader.read():
            if sums.read(len(piece)) != piece:
                raise MalformedError("its files do not have the digests that they were written with: it is damaged")
        if sums.read(1):
            raise MalformedError("there are files in it that it does not list")
        self._complete = True

    # -- what comes ---------------------------------------------------------------------------------------------------

    def _file(self, entry: Entry, content: Iterator[bytes], digest: Callable[[], str]) -> None:
        kind = m.kind_of(entry.name)
        if kind in _TREES:
            self._in_tree(entry, content)
        elif entry.name == m.HEADER:
            self._header = self._accepted(m.Header.parse(_whole(entry, content)))
        elif entry.name == m.DATABASE:
            _write(self._folder / m.DATABASE, content)
            assert self._header is not None
            self._owners = self._owner(self._folder / m.DATABASE, self._header)
        elif entry.name == m.KEYS:
            whole = _whole(entry, content)
            self._keys = {} if self._without_keys else vault.opened(whole, self._passphrase)
            if strange := [name for name in self._keys if not _KEY_FILES.fullmatch(name)]:
                raise MalformedError(f"its keys hold {_shown(strange[0])}")
        elif entry.name == m.SETTINGS:
            _write(self._folder / m.SETTINGS, content)
        else:
            self._addressed(entry, kind, content, digest)

    def _accepted(self, header: m.Header) -> m.Header:
        if header.store > self._newest_store:
            raise UserError(
                f"cannot restore the backup: Fourfold {header.version} made it, and its store (version {header.store}) "
                f"is newer than this program knows ({self._newest_store}); nothing was changed",
                f"install Fourfold {header.version} or newer, then restore",
            )
        return header

    def _addressed(self, entry: Entry, kind: str | None, content: Iterator[bytes], digest: Callable[[], str]) -> None:
        """What has a digest for a name."""
        folder, _, name = entry.name.partition("/")
        if kind not in (m.SOURCES, m.BLOBS, m.LOCKS) or not is_digest(name):
            raise MalformedError(f"{_shown(entry.name)} has no place in a backup")
        place = self._folder / folder / name
        place.parent.mkdir(exist_ok=True)
        _write(place, content)
        if kind == m.LOCKS:
            try:
                locks.parse(place.read_bytes())
            except ValueError as error:
                raise MalformedError(f"{_shown(entry.name)}: {error}") from error
        elif digest() != name:
            raise MalformedError(f"{_shown(entry.name)} has another content than its name says")
        else:
            place.chmod(0o444)

    def _other(self, entry: Entry) -> None:
        if m.kind_of(entry.name) not in _TREES:
            raise MalformedError(f"{_shown(entry.name)} is no file")
        self._in_tree(entry, iter(()))

    def _in_tree(self, entry: Entry, content: Iterator[bytes]) -> None:
        top, rest, rootfs = self._rootfs(entry.name)
        parents, name = (rest[:-1], rest[-1]) if rest else ((), "")
        attributes = self._attributes(entry, top)
        if entry.kind == "folder":
            rootfs.folder(parents, name, attributes)
        elif entry.kind == "file":
            rootfs.file(parents, name, attributes, content)
        elif entry.kind == "symlink":
            rootfs.symlink(parents, name, attributes, entry.target)
        elif entry.kind == "hardlink":
            other, target = self._split(entry.target)
            if other != top:
                raise RefusedError(f"it is a link to {_shown(entry.target)}, which is elsewhere")
            rootfs.hardlink(parents, name, target)
        else:
            raise RefusedError(f"it is a {entry.kind}")

    def _split(self, name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Which tree, and where in it."""
        parts = parts_of(name)
        depth = _TREES.get(parts[0], 0) if parts else 0
        if not depth or len(parts) < depth:
            raise RefusedError("it names no tree")
        if parts[0] == m.ARTIFACTS and not is_digest(parts[1]):
            raise RefusedError("it is no digest")
        if any(part.startswith(".") for part in parts[1:depth]):
            raise RefusedError("it is hidden")
        return parts[:depth], parts[depth:]

    def _rootfs(self, name: str) -> tuple[tuple[str, ...], tuple[str, ...], Rootfs]:
        top, rest = self._split(name)
        key = "/".join(top)
        if self._tree is None or self._tree[0] != key:
            self._close_tree()
            try:
                self._tree = (key, Rootfs(self._folder / key, MOST_FOLDERS))
            except FileExistsError:
                raise RefusedError("its folder is there already: members of one belong together") from None
        return top, rest, self._tree[1]

    def _attributes(self, entry: Entry, top: tuple[str, ...]) -> Attributes:
        """No program gets powers by a backup: set-user-id bits and capabilities of files are dropped."""
        uid, gid = entry.uid, entry.gid
        if os.geteuid() != 0:
            uid, gid = os.geteuid(), os.getegid()
        elif self._owners is not None and top[0] == m.VOLUMES:
            uid = gid = self._owners(top[1], top[2])
        mode = entry.mode if entry.kind == "folder" else entry.mode & 0o1777
        return Attributes(mode, uid, gid, entry.mtime, {})

    def _close_tree(self) -> None:
        if self._tree is not None:
            tree, self._tree = self._tree[1], None
            with tree:
                tree.finish()


def _decompressed(raw: IO[bytes]) -> Stream:
    """As it is, or out of gzip."""
    buffered = raw if hasattr(raw, "peek") else open(raw.fileno(), "rb", closefd=False)  # noqa: SIM115
    if cast("gzip.GzipFile", buffered).peek(2)[:2] == b"\x1f\x8b":
        return cast("Stream", gzip.GzipFile(fileobj=buffered))
    return cast("Stream", buffered)


def _hashed(pieces: Iterator[bytes], update: Callable[[bytes], None]) -> Iterator[bytes]:
    for piece in pieces:
        update(piece)
        yield piece


def _whole(entry: Entry, content: Iterator[bytes]) -> bytes:
    if entry.size > SMALL:
        raise MalformedError(f"{_shown(entry.name)} has {entry.size:,} bytes")
    return b"".join(content)


def _write(place: Path, content: Iterator[bytes]) -> None:
    """A new file of mode 0600."""
    with os.fdopen(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
        for piece in content:
            file.write(piece)


def _shown(name: str) -> str:
    return ascii(name if len(name) <= 200 else name[:200] + "…")
