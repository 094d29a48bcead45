"""Layers as they are transported: compressed once, then linked into every image that has them.

On disk: `images/blobs/KEY/layer.tar.gz` and beside it `layer.json`. KEY is the digest of an unpacked layer in
`store.files.images`, or the `diff_id` of one that was made of an artifact's tree.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fourfold.errors import WorldError
from fourfold.paths import Paths
from fourfold.store.files import trees
from fourfold.store.files.blobs import Kept, require_digest
from fourfold.store.files.sources import write_atomically
from fourfold.store.manifest import is_digest

CONTENT = "layer.tar.gz"


@dataclass(frozen=True)
class Compressed:
    path: Path
    """A gzip file, never touched once written: others link to it."""
    digest: str
    """SHA-256 in hex of the file."""
    diff_id: str
    """SHA-256 in hex of the tar in it."""
    size: int


class CompressedLayers:
    def __init__(self, paths: Paths) -> None:
        self._root = paths.images / "blobs"

    def find(self, key: str) -> Compressed | None:
        """Marked as just used."""
        folder = self._root / require_digest(key)
        try:
            os.utime(folder / "layer.json")
            data = json.loads((folder / "layer.json").read_bytes())
        except FileNotFoundError:
            return None
        return Compressed(folder / CONTENT, data["digest"], data["diff_id"], data["size"])

    def publish(self, key: str, staged: Path, digest: str, diff_id: str) -> Compressed:
        """Take over the file `staged`, which is alone in its folder. Raises WorldError when the disk refuses."""
        folder, size = self._root / require_digest(key), staged.stat().st_size
        try:
            staged.rename(staged.with_name(CONTENT))
            data = {"digest": digest, "diff_id": diff_id, "size": size}
            write_atomically(staged.with_name("layer.json"), json.dumps(data).encode())
            trees.sync(staged.parent)
            self._root.mkdir(parents=True, exist_ok=True)
            trees.remove(folder)
            staged.parent.rename(folder)
            trees.sync_folder(self._root)
        except OSError as error:
            raise WorldError(f"cannot store the layer: {error.strerror}", "make room on the disk") from error
        return Compressed(folder / CONTENT, digest, diff_id, size)

    def list(self) -> Iterator[Kept]:
        """Also what a removal that broke off has left."""
        if self._root.is_dir():
            for folder in sorted(self._root.iterdir()):
                if is_digest(folder.name):
                    record = folder / "layer.json"
                    used_at = (record if record.is_file() else folder).stat().st_mtime
                    yield Kept(folder.name, trees.size_of(folder), used_at)

    def remove(self, key: str) -> int:
        """Gives the bytes freed. The record goes first: a removal that breaks off leaves nothing that can be found."""
        folder = self._root / require_digest(key)
        (folder / "layer.json").unlink(missing_ok=True)
        return trees.remove(folder)
