"""What virtual machines boot, by what it was made of: kernels, initial file systems, read-only disks.

On disk: `disks/KEY/content`, never touched once there. KEY is the SHA-256 of all that decides its bytes (a tree, a tool
and its version), so that what is there need not be made to be known.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

from fourfold.errors import WorldError
from fourfold.paths import Paths
from fourfold.store.files import trees
from fourfold.store.files.blobs import Kept, require_digest
from fourfold.store.manifest import is_digest

_CONTENT = "content"


class Disks:
    def __init__(self, paths: Paths) -> None:
        self._root = paths.disks

    def path(self, key: str) -> Path:
        """Where it is, or would be: a file with mode 0444."""
        return self._root / require_digest(key) / _CONTENT

    def has(self, key: str) -> bool:
        """Whether it is there; if so it is marked as just used: gc leaves it until whoever asks has named it."""
        try:
            os.utime(self.path(key))
        except FileNotFoundError:
            return False
        return True

    def size(self, key: str) -> int:
        return self.path(key).stat().st_size

    def publish(self, key: str, staged: Path, runs: bool = False) -> Path:
        """Take over the file `staged`, which is alone in its folder on the same file system; gives its new place.

        `runs`: it is a program of this host's too, with mode 0555.

        One that is there already stays. Raises WorldError when the disk refuses.
        """
        folder = self._root / require_digest(key)
        try:
            staged.chmod(0o555 if runs else 0o444)
            staged.parent.chmod(0o755)
            staged.rename(staged.with_name(_CONTENT))
            os.utime(staged.with_name(_CONTENT))
            trees.sync(staged.parent)
            self._root.mkdir(parents=True, exist_ok=True)
            if not self.has(key):
                _take(staged.parent, folder)
            trees.sync_folder(self._root)
        except OSError as error:
            raise WorldError(f"cannot store the disk: {error.strerror}", "make room on the disk") from error
        return folder / _CONTENT

    def list(self) -> Iterator[Kept]:
        """Also what a removal that broke off has left."""
        if self._root.is_dir():
            for folder in sorted(self._root.iterdir()):
                if is_digest(folder.name):
                    yield Kept(folder.name, trees.size_of(folder), self.used_at(folder.name))

    def used_at(self, key: str) -> float:
        folder = self._root / require_digest(key)
        content = folder / _CONTENT
        return (content if content.is_file() else folder).stat().st_mtime

    def remove(self, key: str) -> int:
        """Gives the bytes freed."""
        return trees.remove(self._root / require_digest(key))


def _take(staged: Path, folder: Path) -> None:
    """A place that is empty is what a removal that broke off has left; one that is not was taken by another thread."""
    try:
        staged.rename(folder)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
