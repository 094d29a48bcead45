"""Contents of files, by SHA-256: written once, verified while they come in, never half there."""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import IO

from fourfold.errors import UserError, WorldError
from fourfold.paths import Paths
from fourfold.store import trees
from fourfold.store.manifest import MAX_BYTES, is_digest


@dataclass(frozen=True)
class Kept:
    """One thing in a content-addressed store, as a garbage collector sees it."""

    digest: str
    size: int
    used_at: float
    """When it was written or last asked for (of a blob: written); what is young may be about to be used."""


def require_digest(text: str) -> str:
    """Digests become file names, so whatever is not one stops here."""
    if not is_digest(text):
        raise UserError(f"cannot use {text[:80]!r} as a digest: it is not a SHA-256 in lower-case hex")
    return text


class Blobs:
    """Never touched once written: trees that run are hard links of them, and programs go by files' times."""

    def __init__(self, paths: Paths) -> None:
        self._root = paths.blobs
        self.lock = Lock()
        """Held while somebody is told which are there, and while those that no source names are removed."""

    def path(self, digest: str) -> Path:
        """Where the content is (or would be): a file with mode 0444."""
        return self._root / require_digest(digest)[:2] / digest

    def has(self, digest: str) -> bool:
        return self.path(digest).is_file()

    def missing(self, digests: Iterable[str]) -> list[str]:
        """Those not there yet, sorted."""
        return [digest for digest in sorted(set(digests)) if not self.has(digest)]

    async def put(self, digest: str, chunks: AsyncIterator[bytes], limit: int = MAX_BYTES) -> None:
        """Store what `chunks` give. Raises UserError if it is not `digest` or longer than `limit` bytes.

        Nothing is kept of a stream that fails or breaks off. Writing what is there already changes nothing.
        """
        with self._writer(digest, limit) as writer:
            async for chunk in chunks:
                writer.write(chunk)
            await asyncio.to_thread(writer.commit)

    def add(self, digest: str, chunks: Iterable[bytes], limit: int = MAX_BYTES) -> None:
        """As `put`, for what is on this machine already."""
        with self._writer(digest, limit) as writer:
            for chunk in chunks:
                writer.write(chunk)
            writer.commit()

    def list(self) -> Iterator[Kept]:
        if self._root.is_dir():
            for path in self._root.glob("[0-9a-f][0-9a-f]/*"):
                if is_digest(path.name):
                    status = path.stat()
                    yield Kept(path.name, status.st_size, status.st_mtime)

    def remove(self, digest: str) -> int:
        """Gives the bytes freed; what is not there is fine. A file that artifacts link to takes space until they go."""
        path = self.path(digest)
        try:
            size = path.stat().st_size
            path.unlink()
        except FileNotFoundError:
            return 0
        return size

    def _writer(self, digest: str, limit: int) -> _Writer:
        return _Writer(self.path(digest), limit)


class _Writer:
    """A file under a temporary name beside its place; renamed when its digest is right, else removed."""

    def __init__(self, target: Path, limit: int) -> None:
        self._target = target
        self._left = limit
        self._hash = hashlib.sha256()

    def __enter__(self) -> _Writer:
        try:
            self._target.parent.mkdir(parents=True, exist_ok=True)
            self._file: IO[bytes] = tempfile.NamedTemporaryFile(dir=self._target.parent, prefix=".new-", delete=False)
        except OSError as error:
            raise _cannot_store(self._target.name, error) from error
        return self

    def write(self, chunk: bytes) -> None:
        self._left -= len(chunk)
        if self._left < 0:
            raise UserError(f"cannot store {self._target.name[:12]}: it is longer than said or allowed")
        self._hash.update(chunk)
        try:
            self._file.write(chunk)
        except OSError as error:
            raise _cannot_store(self._target.name, error) from error

    def commit(self) -> None:
        if (actual := self._hash.hexdigest()) != self._target.name:
            raise UserError(
                f"cannot store {self._target.name[:12]}: what came has the digest {actual[:12]}",
                "the file changed while it was sent; run the command again",
            )
        try:
            self._file.flush()
            os.fchmod(self._file.fileno(), 0o444)
            os.fsync(self._file.fileno())
            Path(self._file.name).replace(self._target)
            trees.sync_folder(self._target.parent)
        except OSError as error:
            raise _cannot_store(self._target.name, error) from error

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._file.close()
        except OSError:  # a full disk, met again while flushing: the first error is the one to tell
            if kind is None:
                raise
        finally:
            Path(self._file.name).unlink(missing_ok=True)


def _cannot_store(name: str, error: OSError) -> WorldError:
    return WorldError(f"cannot store {name[:12]}: {error.strerror}", "make room on the disk, then run it again")
