"""What may go of disks: those that no artifact names. After artifacts were collected; files only, for a thread."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from fourfold.errors import NotFoundError
from fourfold.store.files.artifacts import Artifacts
from fourfold.store.files.disks import Disks
from fourfold.store.garbage.gc import FRESH_SECONDS, Collected

UNNAMED_SECONDS = 7 * 86_400.0
"""A disk of a base, a compiled init: many services share them, and they are asked for again."""
UNNAMED_BYTES = 2 * 1024**3


def sweep_disks(disks: Disks, artifacts: Artifacts, now: float) -> Collected:
    """Disks used a moment ago stay too: whoever asked for them is about to name them."""
    used = set(_used(artifacts))
    unnamed = sorted(
        (each for each in disks.list() if each.digest not in used), key=lambda each: each.used_at, reverse=True
    )
    count = freed = total = 0
    for each in unnamed:
        total += each.size
        old = each.used_at < now - UNNAMED_SECONDS
        crowded = total > UNNAMED_BYTES and each.used_at < now - FRESH_SECONDS
        if (old or crowded) and disks.used_at(each.digest) == each.used_at:  # nobody has asked for it meanwhile
            freed += disks.remove(each.digest)
            count += 1
    return Collected({"disks": count}, freed)


def _used(artifacts: Artifacts) -> Iterator[str]:
    """What an artifact boots."""
    for each in artifacts.list():
        with suppress(NotFoundError):  # half removed
            if (boot := artifacts.get(each.digest).boot) is not None:
                yield from boot.files
