"""How large what was built is: what is its own, and what others share."""

from __future__ import annotations

from fourfold.control.parts import Parts
from fourfold.store.artifacts import Artifact


def sizes(parts: Parts, artifact: Artifact) -> tuple[int, int]:
    """(Its own bytes, bytes of the base). A machine's own is the disk beside its base; reads the disk."""
    base = sum(parts.images.size(digest) for digest in artifact.image.layers) if artifact.image is not None else 0
    if artifact.boot is None:
        return artifact.size, base
    boot = artifact.boot
    shared = sum(parts.disks.size(key) for key in (boot.kernel, boot.initrd, *boot.disks[:1]))
    return sum(parts.disks.size(key) for key in boot.disks[1:]), shared
