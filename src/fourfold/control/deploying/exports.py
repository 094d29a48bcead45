"""What is made of artifacts to be taken away: images, disks, zips, tars."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator, Sequence
from typing import IO

from fourfold.build.build import BuildRequest
from fourfold.build.disk.export import KERNELS, DiskImage, Hardware
from fourfold.build.disk.exporter import DiskExporter
from fourfold.build.oci.compose import Composed
from fourfold.build.oci.export import Exporter, archive, run_of
from fourfold.build.oci.pack import compress, tree_layer
from fourfold.build.zip import write_zip
from fourfold.control.instances.containers import read_file
from fourfold.control.parts import Parts
from fourfold.errors import UserError
from fourfold.launch.exported import Program, entries
from fourfold.launch.qemu import configuration
from fourfold.launch.vm import is_whole_system, machine_memory
from fourfold.store.files.artifacts import Artifact
from fourfold.store.files.compressed import CompressedLayers
from fourfold.store.files.images import Images
from fourfold.store.files.staging import staging

TAR = "tar.gz"
"""The form of processes and of members of groups: the tree, as it is seen at /app."""
ZIP = "zip"
"""The form of functions."""
IMAGES = ("oci", "docker-archive")
"""Of containers: the same file, which has the lists of both."""
FORMS: dict[str, tuple[str, ...]] = {
    "process": (TAR,),
    "shared": (TAR,),
    "container": IMAGES,
    "vm": ("qcow2", *(form for form in KERNELS if form != "qcow2")),
    "function": (ZIP,),
}
"""Pattern -> what can be made of its artifacts, the usual one first."""
_NOUNS = {TAR: "a tar", ZIP: "a zip"} | dict.fromkeys(IMAGES, "an image") | dict.fromkeys(KERNELS, "a disk")
_HINTS = {
    TAR: "say --as process",
    ZIP: "say --as function",
    "oci": "say --as container, or for a machine a format such as qcow2",
    "docker-archive": "say --as container, or for a machine a format such as qcow2",
}


class Exports:
    def __init__(self, parts: Parts) -> None:
        self._work = parts.paths.work
        self._images = Images(parts.paths)
        self._exporter = Exporter(self._images, CompressedLayers(parts.paths), parts.paths.work)
        self._disks = DiskExporter(parts.paths, parts.builder.machines)

    async def check(self, requests: Sequence[BuildRequest], form: str) -> None:
        """Raises UserError for artifacts that have no such form, and for what this host lacks to make it."""
        if form not in _NOUNS:
            raise UserError(f"cannot make a disk in format {form!r}", f"the formats are {', '.join(KERNELS)}")
        for each in requests:
            if form not in FORMS.get(each.pattern, ()):
                what = f"cannot make {_NOUNS[form]} of {each.service}: it is built for pattern {each.pattern}"
                raise UserError(what, _HINTS.get(form, "say --as vm"))
        if form in KERNELS:
            await asyncio.to_thread(self._disks.require, form)

    async def prepare(self, form: str, log: Callable[[str], None]) -> None:
        """What is the same for all services, and takes long for the first."""
        if form in KERNELS:
            await self._disks.boot(form, log)

    async def image(self, made: Artifact, wanted: BuildRequest) -> Composed:
        return await asyncio.to_thread(self._exporter.image, made, wanted.spec, wanted.app, wanted.service)

    async def file(self, made: Artifact, wanted: BuildRequest, form: str) -> DiskImage:
        """As one file. Raises UserError and WorldError."""
        if form in IMAGES:
            image = archive(await self.image(made, wanted))
            return DiskImage(image.digest, image.size, image.pieces)
        if form == ZIP:
            return await asyncio.to_thread(self._zip, made, wanted.service)
        if form == TAR:
            return await asyncio.to_thread(self._tar, made)
        config = await asyncio.to_thread(self._told, made, wanted)
        cpus = max(1, math.ceil(wanted.spec.resources.cpu or 1))
        memory = machine_memory(wanted.spec, is_whole_system(wanted.spec))
        return await self._disks.image(made, form, config, Hardware(f"{wanted.app}-{wanted.service}", memory, cpus))

    def _zip(self, made: Artifact, service: str) -> DiskImage:
        with staging(self._work, "zip", "make the zip") as folder:
            file = (folder / "zip").open("w+b")
            zipped = write_zip(made, file, service)
            file.seek(0)
            return DiskImage(zipped.sha256, zipped.size, _pieces(file))

    def _tar(self, made: Artifact) -> DiskImage:
        with staging(self._work, "tar", "make the tar") as folder:
            file = (folder / "tar").open("w+b")
            digest, _ = compress(tree_layer(made.tree, lambda name: True), file)
            size = file.tell()
            file.seek(0)
            return DiskImage(digest, size, _pieces(file))

    def _told(self, made: Artifact, wanted: BuildRequest) -> bytes:
        """What the guest of a disk is told."""
        assert made.image is not None
        run = run_of(made, made.image, wanted.spec, {"app": wanted.app, "service": wanted.service})
        program = Program(run.entrypoint, run.env, run.cwd, run.user, run.stop_signal or wanted.spec.stop.signal)
        layers = [self._images.folder(digest) for digest in made.image.layers]
        passwd, group = (read_file(layers, "etc", name) for name in ("passwd", "group"))
        said = entries(program, wanted.spec, wanted.service, passwd, group)
        return configuration(said).encode(errors="surrogateescape")


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while piece := file.read(1024 * 1024):
            yield piece
