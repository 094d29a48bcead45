"""Layers of container images, unpacked once, and what references and bases resolved to.

On disk: `images/layers/DIGEST/root` as overlayfs wants it (whiteouts are devices 0:0), beside it `layer.json`; and
`images/records/KEY.json`, where KEY is the SHA-256 of the record's name. DIGEST is the SHA-256 of the uncompressed tar
(`diff_id` in the OCI image specification, config.md). The folder is the daemon's alone: layers hold set-user-id files.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock

from fourfold.errors import WorldError
from fourfold.paths import Paths
from fourfold.store.files import trees
from fourfold.store.files.artifacts import Image, image_from_json
from fourfold.store.files.blobs import Kept, require_digest
from fourfold.store.files.sources import write_atomically
from fourfold.store.manifest import is_digest

_PUBLISHED = ".publish"
_ONE_AT_A_TIME = Lock()
"""Held for renames: one that publishes and one that removes must not meet at the same layer."""


@dataclass(frozen=True)
class Record:
    """What a base or a reference to an image resolved to."""

    name: str
    """Whatever it is found by, such as `docker://alpine:3` or `debian bookworm python3.11`."""
    digest: str
    """SHA-256 in hex of all that decides its bytes: of a pulled image that of its manifest."""
    image: Image
    argv: tuple[str, ...] = ()
    """Entrypoint and Cmd; empty for a base."""
    made_at: float = 0.0
    """When a base was made."""


class Images:
    """Unpacked layers by digest; `records` beside them. Other processes see a layer whole or not at all."""

    def __init__(self, paths: Paths) -> None:
        self._root = paths.images / "layers"
        self._work = paths.work
        self.records = Records(paths, self)

    def folder(self, digest: str) -> Path:
        """The unpacked layer's root (or where it would be), for `lowerdir` of overlayfs."""
        return self._root / require_digest(digest) / "root"

    def has(self, digest: str) -> bool:
        """Whether it is there; if so it is marked as just used: gc leaves it until whoever asks has named it."""
        try:
            os.utime(self._json(digest))
        except FileNotFoundError:
            return False
        return True

    def complete(self, image: Image) -> bool:
        """Whether all layers of `image` are there; they are then marked as just used."""
        return all(self.has(digest) for digest in image.layers)

    def size(self, digest: str) -> int:
        """Bytes on disk; 0 for one that is not there."""
        try:
            return int(json.loads(self._json(digest).read_bytes())["size"])
        except FileNotFoundError:
            return 0

    def publish(self, digest: str, staged_root: Path, size: int) -> Path:
        """Take over the folder `staged_root` (on the same file system) as the layer's root; gives its new place.

        Modes and owners stay as they are. One that is there already stays. Raises WorldError when the disk refuses.
        """
        folder = self._root / require_digest(digest)
        staged = staged_root.with_name(digest + _PUBLISHED)
        try:
            staged.mkdir(mode=0o700)
            staged_root.rename(staged / "root")
            write_atomically(staged / "layer.json", json.dumps({"size": size}).encode())
            self._root.mkdir(parents=True, exist_ok=True)
            trees.sync_file_system(staged)
            with _ONE_AT_A_TIME:
                if not self.has(digest):
                    if folder.exists():  # what a removal that broke off has left
                        self._move_away(digest)
                    staged.rename(folder)
            trees.remove(staged)
            trees.sync_folder(self._root)
        except OSError as error:
            raise WorldError(f"cannot store the layer: {error.strerror}", "make room on the disk") from error
        return folder / "root"

    def list(self) -> Iterator[Kept]:
        """Also what a removal that broke off has left."""
        if self._root.is_dir():
            for folder in sorted(self._root.iterdir()):
                if is_digest(folder.name):
                    record = folder / "layer.json"
                    used_at = (record if record.is_file() else folder).stat().st_mtime
                    yield Kept(folder.name, self.size(folder.name), used_at)

    def remove(self, digest: str) -> int:
        """Gives the bytes freed. The record goes first: a removal that breaks off leaves nothing that can be found."""
        with _ONE_AT_A_TIME:
            self._json(digest).unlink(missing_ok=True)
            away = self._move_away(digest)
        return trees.remove(away)

    def _move_away(self, digest: str) -> Path:
        """Where it can be removed at leisure, by the next daemon if need be."""
        away = Path(tempfile.mkdtemp(dir=self._work, prefix="layer-"))
        with suppress(FileNotFoundError):
            (self._root / require_digest(digest)).rename(away / "layer")
        return away

    def _json(self, digest: str) -> Path:
        return self._root / require_digest(digest) / "layer.json"


class Records:
    """By name; written whole or not at all."""

    def __init__(self, paths: Paths, images: Images) -> None:
        self._root = paths.images / "records"
        self._images = images

    def get(self, name: str) -> Record | None:
        """What `name` resolved to, marked as just used; None when nobody asked for it or a layer has gone."""
        path = self._path(_key(name))
        try:
            os.utime(path)
            record = _read(path)
        except FileNotFoundError:
            return None
        return record if self._images.complete(record.image) else None

    def put(self, record: Record) -> None:
        """Its layers must have been published before. Raises WorldError when the disk refuses."""
        data = {**asdict(record), "image": asdict(record.image)}
        write_atomically(self._path(_key(record.name)), json.dumps(data, indent=1).encode())

    def list(self) -> Iterator[Kept]:
        """`Kept.digest` is the record's key, which `read` and `remove` take."""
        if self._root.is_dir():
            for path in sorted(self._root.glob("*.json")):
                if is_digest(path.stem):
                    status = path.stat()
                    yield Kept(path.stem, status.st_size, status.st_mtime)

    def read(self, key: str) -> Record:
        return _read(self._path(key))

    def remove(self, key: str) -> int:
        """Gives the bytes freed; what is not there is fine."""
        try:
            size = self._path(key).stat().st_size
            self._path(key).unlink()
        except FileNotFoundError:
            return 0
        return size

    def _path(self, key: str) -> Path:
        return self._root / f"{require_digest(key)}.json"


def _key(name: str) -> str:
    """References hold slashes and may be longer than a file's name."""
    return hashlib.sha256(name.encode()).hexdigest()


def _read(path: Path) -> Record:
    data = json.loads(path.read_bytes())
    return Record(
        data["name"], data["digest"], image_from_json(data["image"]), tuple(data["argv"]), data.get("made_at", 0.0)
    )
