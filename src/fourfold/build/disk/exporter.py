"""From an artifact of pattern vm to an image of its own, with the kernel that has drivers for those who take it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from fourfold.build.bases.make import this_system
from fourfold.build.disk import esp
from fourfold.build.disk.export import KERNELS, PARAMETERS, Contents, DiskImage, Hardware, export
from fourfold.build.vm import Machines
from fourfold.errors import UserError, WorldError
from fourfold.paths import Paths
from fourfold.store.files.artifacts import Artifact
from fourfold.store.files.disks import Disks

Log = Callable[[str], None]


class DiskExporter:
    def __init__(self, paths: Paths, machines: Machines) -> None:
        self._work = paths.work
        self._disks = Disks(paths)
        self._boots = esp.BootPartitions(paths, self._disks)
        self._machines = machines

    def require(self, form: str) -> None:
        """Raises UserError for a format that is none, and for what is missing on this host."""
        if form not in KERNELS:
            raise UserError(f"cannot make a disk in format {form!r}", f"the formats are {', '.join(KERNELS)}")
        esp.require_means()
        self._machines.kernels.require(this_system(), KERNELS[form])

    async def boot(self, form: str, log: Log) -> Path:
        """What is the same for all services: kernel and initial file system, ready to boot. Made once."""
        kernel = await self._machines.kernels.get(this_system(), log, KERNELS[form])
        init = self._disks.path(await self._machines.init())
        initrd = await self._machines.initramfs.get(kernel, init, everywhere=True)
        return await asyncio.to_thread(self._boots.get, kernel.image, self._disks.path(initrd), PARAMETERS)

    async def image(self, artifact: Artifact, form: str, config: bytes, hardware: Hardware) -> DiskImage:
        """Raises UserError and WorldError."""
        if artifact.boot is None:
            raise UserError(f"cannot make a disk of {hardware.name}: it was not built as a vm", "use --as vm")
        boot = await self.boot(form, lambda line: None)
        if missing := [key for key in artifact.boot.disks if not self._disks.has(key)]:
            raise WorldError(f"cannot make a disk: {missing[0][:12]} is not in the store any more", "build it again")
        contents = Contents(boot, tuple(map(self._disks.path, artifact.boot.disks)), config)
        return await asyncio.to_thread(export, contents, form, hardware, self._work)
