"""Contents of files, by SHA-256: written once, verified while they come in, never half there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from fourfold.errors import UserError
from fourfold.paths import Paths
from fourfold.store.files import trees
from fourfold.store.files.incoming import Frames, Incoming
from fourfold.store.manifest import is_digest


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
        self._work = paths.work
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

    async def receive(self, pieces: AsyncIterator[bytes]) -> None:
        """Store a stream of blobs (see `incoming.Frames`). Raises UserError for what is not as it says.

        Of a stream that fails or breaks off, whole batches may stay; never a part of a blob.
        """
        with self.incoming() as incoming:
            frames = Frames(incoming)
            async for piece in pieces:
                await asyncio.to_thread(frames.feed, piece)
            await asyncio.to_thread(frames.finish)

    def add(self, digest: str, chunks: Iterable[bytes]) -> None:
        """One blob that is on this machine already. Raises UserError if it is not `digest`."""
        with self.incoming() as incoming:
            incoming.add(require_digest(digest), chunks)
            incoming.commit()

    def incoming(self) -> Incoming:
        return Incoming(self._work, self.path)

    def list(self) -> Iterator[Kept]:
        if self._root.is_dir():
            for path in self._root.glob("[0-9a-f][0-9a-f]/*"):
                if is_digest(path.name):
                    status = path.stat()
                    yield Kept(path.name, status.st_size, status.st_mtime)

    def remove(self, digest: str) -> int:
        """Gives the bytes freed; what is not there is fine. A file that artifacts link to takes space until they go."""
        return trees.unlink(self.path(digest))
