"""Sources: manifests by digest, and the folders that they describe, made from blobs."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from fourfold.errors import NotFoundError, WorldError
from fourfold.paths import Paths
from fourfold.store.files import trees
from fourfold.store.files.blobs import Blobs, Kept, require_digest
from fourfold.store.manifest import Manifest, is_digest


def write_atomically(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Write beside, fsync, rename: after a power cut the old or the new content is there, never a part."""
    name = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        Path(name).replace(path)
    except OSError as error:
        if name is not None:
            Path(name).unlink(missing_ok=True)
        raise WorldError(
            f"cannot write {path}: {error.strerror}", "make room on the disk, then run it again"
        ) from error
    trees.sync_folder(path.parent)


class Sources:
    def __init__(self, paths: Paths, blobs: Blobs) -> None:
        self._root = paths.sources
        self._blobs = blobs

    def put(self, manifest: Manifest) -> str:
        """Keep a manifest; gives its digest. Its blobs may come later (`Blobs.missing`)."""
        path = self._path(manifest.digest)
        if path.exists():
            os.utime(path)
        else:
            write_atomically(path, manifest.canonical)
        return manifest.digest

    def offer(self, manifest: Manifest) -> tuple[str, list[str]]:
        """Keep a manifest; its digest, and the blobs that must still come. Those there stay as long as it does."""
        with self._blobs.lock:
            return self.put(manifest), self._blobs.missing(manifest.blobs)

    def get(self, digest: str) -> Manifest:
        try:
            data = json.loads(self._path(digest).read_bytes())
        except FileNotFoundError:
            raise NotFoundError(
                f"cannot find the source {digest[:12]}: it is not in the store", "send it again"
            ) from None
        return Manifest.parse(data)

    def materialize(self, digest: str, into: Path, link: bool = False) -> Manifest:
        """Write the source's files into the new folder `into`. Raises NotFoundError when blobs are missing.

        With `link`, files that nothing may run are hard links to the blobs (mode 0444): no copying, for trees that
        will be sealed. Otherwise files are copies with mode 0644 or 0755, for builds that change them.
        """
        manifest = self.get(digest)
        write_tree(manifest, self._blobs, into, link)
        return manifest

    def list(self) -> Iterator[Kept]:
        if self._root.is_dir():
            for path in self._root.iterdir():
                if is_digest(path.name):
                    status = path.stat()
                    yield Kept(path.name, status.st_size, status.st_mtime)

    def remove(self, digest: str) -> None:
        """Forget the manifest; its blobs stay until nothing lists them (`Blobs.remove`)."""
        self._path(digest).unlink(missing_ok=True)

    def _path(self, digest: str) -> Path:
        return self._root / require_digest(digest)


def write_tree(manifest: Manifest, blobs: Blobs, into: Path, link: bool) -> None:
    """See `Sources.materialize`. `into` must not exist; the manifest was checked, so no entry leads out of it."""
    into.mkdir(parents=True)
    made = {into}
    for entry in manifest.entries:
        place = into / entry.path
        if place.parent not in made:
            place.parent.mkdir(parents=True, exist_ok=True)
            made.add(place.parent)
        if entry.link is not None:
            place.symlink_to(entry.link)
            continue
        try:
            if not (link and entry.mode == 0o644 and trees.linked(blobs.path(entry.sha256), place)):
                shutil.copyfile(blobs.path(entry.sha256), place)
                place.chmod(entry.mode)
        except FileNotFoundError:
            raise NotFoundError(
                f"cannot build from the source {manifest.digest[:12]}: the content of {entry.path!r} was never sent",
                "run the command again: it sends what is missing",
            ) from None
