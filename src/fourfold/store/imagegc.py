"""What may go of images: records that nobody asked for in a month, then layers that nothing names, then their archives.

After artifacts were collected: every one that is still there keeps its layers. Files only, so it may run in a thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from fourfold.errors import NotFoundError
from fourfold.store.artifacts import Artifacts
from fourfold.store.blobs import Kept
from fourfold.store.compressed import CompressedLayers
from fourfold.store.gc import FRESH_SECONDS, Collected
from fourfold.store.images import Images

RECORD_SECONDS = 30 * 86_400.0
COMPRESSED_SECONDS = 7 * 86_400.0
COMPRESSED_BYTES = 5 * 1024**3
"""They only save time, and are made again when they are needed."""


def sweep_images(images: Images, compressed: CompressedLayers, artifacts: Artifacts, now: float) -> Collected:
    """Layers used a moment ago stay too: whoever asked for them is about to name them."""
    old_records = [each for each in images.records.list() if each.used_at < now - RECORD_SECONDS]
    freed = sum(images.records.remove(each.digest) for each in old_records)
    needed = set(_named(images, artifacts))
    old_layers = 0
    for each in images.list():
        if each.digest not in needed and each.used_at < now - FRESH_SECONDS:
            freed += images.remove(each.digest)
            old_layers += 1
    old_archives = list(_beyond(sorted(compressed.list(), key=lambda each: each.used_at, reverse=True), now))
    freed += sum(compressed.remove(each.digest) for each in old_archives)
    counts = {"image records": len(old_records), "layers": old_layers, "layer archives": len(old_archives)}
    return Collected(counts, freed)


def _named(images: Images, artifacts: Artifacts) -> Iterator[str]:
    """Layers that a record or an artifact has."""
    for each in images.records.list():
        yield from images.records.read(each.digest).image.layers
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
