"""What may go of images: records, then layers that nothing names, then their archives.

After artifacts were collected: every one that is still there keeps its layers. Files only, so it may run in a thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from fourfold.errors import NotFoundError
from fourfold.store.files.artifacts import Artifacts
from fourfold.store.files.blobs import Kept
from fourfold.store.files.compressed import CompressedLayers
from fourfold.store.files.images import Images
from fourfold.store.garbage.gc import FRESH_SECONDS, Collected

RECORD_SECONDS = 30 * 86_400.0
_LOCAL = ("dockerfile ", "oci:", "docker-archive:")
"""Records of these have content in their names: each edit leaves one that nobody asks for again."""
COMPRESSED_SECONDS = 7 * 86_400.0
COMPRESSED_BYTES = 5 * 1024**3
"""They only save time, and are made again when they are needed."""


def sweep_images(images: Images, compressed: CompressedLayers, artifacts: Artifacts, now: float) -> Collected:
    """Layers used a moment ago stay too: whoever asked for them is about to name them."""
    used = set(_used(artifacts))
    old_records = [each for each in images.records.list() if _is_old(each, images, used, now)]
    freed = sum(images.records.remove(each.digest) for each in old_records)
    needed = used.union(*(images.records.read(each.digest).image.layers for each in images.records.list()))
    old_layers = 0
    for each in images.list():
        if each.digest not in needed and each.used_at < now - FRESH_SECONDS:
            freed += images.remove(each.digest)
            old_layers += 1
    old_archives = list(_beyond(sorted(compressed.list(), key=lambda each: each.used_at, reverse=True), now))
    freed += sum(compressed.remove(each.digest) for each in old_archives)
    counts = {"image records": len(old_records), "layers": old_layers, "layer archives": len(old_archives)}
    return Collected(counts, freed)


def _is_old(kept: Kept, images: Images, used: set[str], now: float) -> bool:
    """Not asked for in a month; of a local image, not a moment ago and by no artifact."""
    if kept.used_at >= now - FRESH_SECONDS:
        return False
    record = images.records.read(kept.digest)
    superseded = record.name.startswith(_LOCAL) and not used.issuperset(record.image.layers)
    return superseded or kept.used_at < now - RECORD_SECONDS


def _used(artifacts: Artifacts) -> Iterator[str]:
    """Layers that an artifact has."""
    for each in artifacts.list():
        with suppress(NotFoundError):  # half removed
            image = artifacts.get(each.digest).image
            yield from image.layers if image else ()


def _beyond(newest_first: list[Kept], now: float) -> Iterator[Kept]:
    """Those not used for long, and what is too much; never what was used a moment ago."""
    total = 0
    for each in newest_first:
        total += each.size
        too_much = total > COMPRESSED_BYTES and each.used_at < now - FRESH_SECONDS
        if too_much or each.used_at < now - COMPRESSED_SECONDS:
            yield each
