"""Contents on their way into the blob store: verified as they come, kept a batch at a time.

They are written into a folder of their own, flushed together, and only then renamed: what has its digest for a name is
whole, after a power cut too. One flush per batch, since two for every file are what takes the time.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO

from fourfold.errors import UserError, WorldError
from fourfold.store.files import trees
from fourfold.store.manifest import MAX_BYTES, is_digest

BATCH_FILES = 1000
BATCH_BYTES = 64 * 1024 * 1024
_HEADER_BYTES = 100


class Incoming:
    """A context; whatever was not committed at its end is gone. Raises WorldError when the disk refuses."""

    def __init__(self, work: Path, place: Callable[[str], Path]) -> None:
        """`place` says where a digest belongs: on the file system of `work`, which a new daemon empties."""
        self._work = work
        self._place = place
        self._file: IO[bytes] | None = None
        self._waiting: list[str] = []
        """Digests of the files `0`, `1`, … in our folder."""
        self._bytes = 0

    def __enter__(self) -> Incoming:
        try:
            self._work.mkdir(parents=True, exist_ok=True)
            self._folder = Path(tempfile.mkdtemp(prefix="blobs-", dir=self._work))
        except OSError as error:
            raise _cannot_store("files", error) from error
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def add(self, digest: str, chunks: Iterable[bytes]) -> None:
        """Take one whole content. Raises UserError if it is not `digest`, or longer than a source may be."""
        self.begin(digest)
        for chunk in chunks:
            self.write(chunk)
        self.end()

    def begin(self, digest: str) -> None:
        self._digest = digest
        self._hash = hashlib.sha256()
        self._left = MAX_BYTES
        try:
            self._file = (self._folder / str(len(self._waiting))).open("wb", buffering=0)
        except OSError as error:
            raise _cannot_store(digest, error) from error

    def write(self, chunk: bytes) -> None:
        assert self._file is not None
        self._left -= len(chunk)
        if self._left < 0:
            raise UserError(f"cannot store {self._digest[:12]}: it is longer than a source may be")
        self._hash.update(chunk)
        try:
            view = memoryview(chunk)
            while view:
                view = view[self._file.write(view) :]
        except OSError as error:
            raise _cannot_store(self._digest, error) from error

    def end(self) -> None:
        """Verify, and keep the batch if it is large by now."""
        assert self._file is not None
        if (actual := self._hash.hexdigest()) != self._digest:
            raise UserError(
                f"cannot store {self._digest[:12]}: what came has the digest {actual[:12]}",
                "the file changed while it was sent; run the command again",
            )
        try:
            os.fchmod(self._file.fileno(), 0o444)
            self._file.close()
        except OSError as error:
            raise _cannot_store(self._digest, error) from error
        self._file = None
        self._waiting.append(self._digest)
        self._bytes += MAX_BYTES - self._left
        if len(self._waiting) >= BATCH_FILES or self._bytes >= BATCH_BYTES:
            self.commit()

    def keep(self, chunks: Iterable[bytes]) -> tuple[str, int]:
        """Take one whole content, whatever its digest is: that, and its bytes. Raises UserError if it is too long."""
        self.begin("")
        for chunk in chunks:
            self.write(chunk)
        digest, size = self._hash.hexdigest(), MAX_BYTES - self._left
        self._digest = digest
        self.end()
        return digest, size

    def commit(self) -> None:
        """Make what has come so far findable, for good."""
        if not self._waiting:
            return
        files = {self._folder / str(number): self._place(digest) for number, digest in enumerate(self._waiting)}
        folders = {target.parent for target in files.values()}
        try:
            trees.flush(list(files))
            for folder in folders:
                folder.mkdir(parents=True, exist_ok=True)
            for file, target in files.items():
                file.replace(target)
            trees.flush([*folders, *{folder.parent for folder in folders}])
        except OSError as error:
            raise _cannot_store(self._waiting[0], error) from error
        self._waiting, self._bytes = [], 0


class Frames:
    """A stream of blobs: for each a line `DIGEST SIZE`, then that many bytes. Pieces of it come cut anywhere."""

    def __init__(self, incoming: Incoming) -> None:
        self._incoming = incoming
        self._header = b""
        self._left: int | None = None
        """Bytes that the blob still has; None: its header comes."""

    def feed(self, piece: bytes) -> None:
        position = 0
        while position < len(piece):
            if self._left is None:
                end = piece.find(b"\n", position)
                self._header += piece[position : end if end >= 0 else len(piece)]
                position = end + 1 if end >= 0 else len(piece)
                if end >= 0 or len(self._header) > _HEADER_BYTES:
                    self._begin()
            else:
                part = piece[position : position + self._left]
                self._incoming.write(part)
                self._left -= len(part)
                position += len(part)
            if self._left == 0:
                self._incoming.end()
                self._left = None

    def finish(self) -> None:
        """Raises UserError if the stream ended in the middle; else all is kept."""
        if self._left is not None or self._header:
            raise UserError("cannot store files: they ended in the middle of one", "run the command again")
        self._incoming.commit()

    def _begin(self) -> None:
        digest, _, size = self._header.decode("ascii", "replace").partition(" ")
        if not is_digest(digest) or not size.isdigit() or int(size) > MAX_BYTES:
            raise UserError(f"cannot store files: {self._header[:80]!r} is no digest and size", "see POST /v1/blobs")
        self._header = b""
        self._left = int(size)
        self._incoming.begin(digest)


def _cannot_store(name: str, error: OSError) -> WorldError:
    return WorldError(f"cannot store {name[:12]}: {error.strerror}", "make room on the disk, then run it again")
