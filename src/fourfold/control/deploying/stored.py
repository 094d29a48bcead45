"""Whether sources have arrived in full, and artifacts are there with all that they stand on."""

from __future__ import annotations

from fourfold.errors import NotFoundError, UserError
from fourfold.store.files.artifacts import Artifacts
from fourfold.store.files.blobs import Blobs
from fourfold.store.files.disks import Disks
from fourfold.store.files.images import Images
from fourfold.store.files.sources import Sources


class Stored:
    def __init__(self, sources: Sources, blobs: Blobs, artifacts: Artifacts, images: Images, disks: Disks) -> None:
        self._sources = sources
        self._blobs = blobs
        self._artifacts = artifacts
        self._images = images
        self._disks = disks

    def has(self, artifact: str) -> bool:
        """With all layers that it stands on, and all that it boots."""
        try:
            found = self._artifacts.get(artifact)
        except NotFoundError:
            return False
        boot, image = found.boot, found.image
        disks = boot.files if boot is not None else ()
        return (image is None or self._images.complete(image)) and all(map(self._disks.has, disks))

    def check_source(self, digest: str) -> None:
        """Raises UserError if any of it has not arrived."""
        try:
            manifest = self._sources.get(digest)
        except NotFoundError as error:
            raise UserError(str(error), error.hint) from error
        if missing := self._blobs.missing(manifest.blobs):
            raise UserError(f"cannot use source {digest[:12]}: {len(missing)} of its files have not arrived")
