"""A reference -> layers in the store: looked up, or fetched, verified, unpacked and recorded; all of it or nothing."""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from fourfold.build.oci import transport
from fourfold.build.oci.layout import read
from fourfold.build.oci.rootfs import OPAQUE_XATTR
from fourfold.build.oci.unpack import Blob, UnpackLimits, unpack
from fourfold.errors import UserError
from fourfold.store.files import trees
from fourfold.store.files.images import Images, Record

Log = Callable[[str], None]


async def resolve(
    reference: str, images: Images, work: Path, log: Log, *, fresh: bool = False, limits: UnpackLimits | None = None
) -> Record:
    """The record of `reference`, with all its layers in the store; `work` is on the store's file system.

    An image of a registry is fetched once, and again when `fresh`: a tag stays what it was until then. A file or folder
    of this host is looked at each time. Raises as `transport.fetch`, and UserError for an image that is hostile.
    """
    transport.check_reference(reference)
    name = await asyncio.to_thread(_record_name, reference)
    if not fresh and (found := await asyncio.to_thread(images.records.get, name)) is not None:
        return found
    log(f"Fetching {reference}")
    staging = Path(await asyncio.to_thread(tempfile.mkdtemp, dir=work, prefix="pull-"))
    try:
        await transport.fetch(reference, staging / "layout")
        return await take_over(staging / "layout", reference, name, images, log, limits)
    finally:
        await asyncio.shield(asyncio.to_thread(trees.remove, staging))


async def take_over(
    layout: Path, reference: str, name: str, images: Images, log: Log, limits: UnpackLimits | None = None
) -> Record:
    """Unpack what the store has not yet of the image in `layout` (beside it), and record it as `name`."""
    found = await asyncio.to_thread(read, layout, reference)
    limits = limits or UnpackLimits()
    for blob in found.blobs:
        if not await asyncio.to_thread(images.has, blob.diff_id):
            log(f"Unpacking {blob.name}")
            await _unpack(blob, layout.parent, images, limits)
    layers = await asyncio.to_thread(_visible, found.image.layers, images)
    record = Record(name, found.digest, replace(found.image, layers=layers), found.argv)
    await asyncio.to_thread(images.records.put, record)
    return record


def _visible(layers: tuple[str, ...], images: Images) -> tuple[str, ...]:
    """Without those that one above hides as a whole: overlayfs does not look at that mark at the top of a layer."""
    marked = [OPAQUE_XATTR in os.listxattr(images.folder(digest)) for digest in layers]
    return layers[max((number for number, is_marked in enumerate(marked) if is_marked), default=0) :]


async def _unpack(blob: Blob, staging: Path, images: Images, limits: UnpackLimits) -> None:
    """In a thread that is told when nobody waits any more: it must not write into a folder that is being removed."""
    stop = threading.Event()

    def work() -> None:
        root = staging / "unpacked"
        unpack(blob, root, limits, stop.is_set)
        images.publish(blob.diff_id, root, trees.size_of(root))

    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        stop.set()
        with suppress(Exception):
            await task
        raise


def _record_name(reference: str) -> str:
    """What is on this host may change under its name: its content is part of it."""
    kind, _, rest = reference.partition(":")
    if kind == "docker":
        return reference
    place = Path(rest.partition(":")[0])
    try:
        with (place / "index.json" if kind == "oci" else place).open("rb") as file:
            return f"{reference} {hashlib.file_digest(file, 'sha256').hexdigest()}"
    except OSError as error:
        raise UserError(
            f"cannot use {reference}: {error.strerror} ({error.filename})", "check the path; the daemon must see it"
        ) from error
