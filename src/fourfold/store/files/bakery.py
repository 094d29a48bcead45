"""Files that builds have made, by SHA-256: written once, whole or not at all. On disk: `bakery/DIGEST`, mode 0444."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from fourfold.paths import Paths
from fourfold.store.files import trees
from fourfold.store.files.blobs import Kept, require_digest
from fourfold.store.files.staging import staging
from fourfold.store.manifest import is_digest


class Stopped(Exception):
    """Whoever asked for it does not want it any more."""


class BakeryFiles:
    def __init__(self, paths: Paths) -> None:
        self._root = paths.bakery
        self._work = paths.work

    def path(self, digest: str) -> Path:
        return self._root / require_digest(digest)

    def has(self, digest: str) -> bool:
        return self.path(digest).is_file()

    def take(self, pieces: Iterable[bytes], stopped: Callable[[], bool] = lambda: False) -> tuple[str, int]:
        """Keep what `pieces` give; its digest and bytes. Blocking: for a thread.

        Raises WorldError when the disk refuses, Stopped once `stopped()` is true: then nothing is left.
        """
        with staging(self._work, "bakery", "store the artifact") as folder:
            digest, size = hashlib.sha256(), 0
            with (folder / "new").open("wb", buffering=0) as file:
                for piece in pieces:
                    if stopped():
                        raise Stopped
                    digest.update(piece)
                    size += len(piece)
                    view = memoryview(piece)
                    while view:
                        view = view[file.write(view) :]
                os.fchmod(file.fileno(), 0o444)
                os.fsync(file.fileno())
            self._root.mkdir(parents=True, exist_ok=True)
            (folder / "new").replace(self.path(digest.hexdigest()))
            trees.sync_folder(self._root)
        return digest.hexdigest(), size

    def list(self) -> Iterator[Kept]:
        if self._root.is_dir():
            for path in self._root.iterdir():
                if is_digest(path.name):
                    status = path.stat()
                    yield Kept(path.name, status.st_size, status.st_mtime)

    def remove(self, digest: str) -> int:
        """Gives the bytes freed; what is not there is fine. Whoever reads it reads on to its end."""
        return trees.unlink(self.path(digest))
