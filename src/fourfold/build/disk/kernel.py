"""Linux for virtual machines: this distribution's own, fetched as its packages, kept as a layer of the image store.

Two flavours: `cloud` has what QEMU, Xen and the clouds show a guest, and boots fastest; `full` also has the drivers for
VirtualBox and VMware.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fourfold.build.bases.bases import Bases
from fourfold.build.bases.make import Made, measured, require_means, unpack_packages
from fourfold.build.bases.root import normalise
from fourfold.build.bases.systems import System
from fourfold.build.disk.bzimage import vmlinux
from fourfold.build.disk.keys import disk_key
from fourfold.errors import UserError, WorldError
from fourfold.paths import Paths
from fourfold.store.files.disks import Disks
from fourfold.store.files.images import Images
from fourfold.store.files.staging import staging

Flavour = Literal["cloud", "full"]
FORMAT = 1
"""Part of every kernel's name: raise it when the same packages are to give another layer than before."""
_KEPT = ("boot", "lib/modules", "usr/lib/modules")
_PACKAGES = {
    ("debian", "cloud"): "linux-image-cloud-{}",
    ("debian", "full"): "linux-image-{}",
    ("ubuntu", "cloud"): "linux-image-kvm",
    ("ubuntu", "full"): "linux-image-generic",
}


@dataclass(frozen=True)
class Kernel:
    flavour: Flavour
    digest: str
    """Of the layer."""
    release: str
    """`6.1.0-56-cloud-amd64`"""
    image: Path
    """The bzImage, for firmware and boot loaders."""
    root: Path
    """In it, `lib/modules/RELEASE`."""


class Kernels:
    def __init__(self, paths: Paths, bases: Bases, images: Images, disks: Disks) -> None:
        self._work = paths.work
        self._bases = bases
        self._images = images
        self._disks = disks

    def known(self, system: System, flavour: Flavour = "cloud") -> bool:
        return self._images.records.get(_name(system, flavour)) is not None

    def require(self, system: System, flavour: Flavour = "cloud") -> None:
        """Raises UserError where it is not there and this host cannot fetch it."""
        if system.machine != "x86_64":
            raise UserError(f"cannot make virtual machines on {system.machine}: only x86_64 is known", "use containers")
        if not self.known(system, flavour):
            require_means("a kernel for virtual machines")

    async def get(
        self, system: System, log: Callable[[str], None], flavour: Flavour = "cloud", fresh: str = ""
    ) -> Kernel:
        """Fetched if need be; `fresh`: anew, once for each such word. Raises UserError and WorldError."""
        self.require(system, flavour)
        package = _PACKAGES[system.vendor, flavour].format(system.architecture)

        async def make(work: Path) -> Made:
            root = await unpack_packages(system, (package,), work, log)
            return await measured(root, _prune)

        title = f"{flavour} kernel of {system}"
        record = await self._bases.keep(_name(system, flavour), title, make, log, fresh)
        return _read(flavour, record.digest, self._images.folder(record.digest))

    async def vmlinux(self, kernel: Kernel) -> str:
        """Key in `store.files.disks` of what `qemu -kernel` starts at once."""
        key = disk_key("vmlinux", kernel.digest)
        if not self._disks.has(key):
            await asyncio.to_thread(self._unpack, kernel, key)
        return key

    def _unpack(self, kernel: Kernel, key: str) -> None:
        with staging(self._work, "kernel", "store the kernel") as folder:
            (folder / "new").write_bytes(vmlinux(kernel.image.read_bytes()))
            self._disks.publish(key, folder / "new")


def _name(system: System, flavour: Flavour) -> str:
    return f"kernel {FORMAT} {system} {system.architecture} {flavour}"


def _prune(root: Path) -> None:
    """Only the kernel and its modules stay, under one name wherever the distribution has them."""
    staged = root.with_name("kernel")
    (staged / "lib").mkdir(parents=True)
    (staged / "boot").mkdir()
    for path in sorted((root / "boot").glob("vmlinuz-*")):
        path.rename(staged / "boot" / path.name)
    modules = next((root / name for name in _KEPT[1:] if any((root / name).glob("*/kernel"))), None)
    if modules is None or not any((staged / "boot").iterdir()):
        raise WorldError("cannot make the kernel: its package has no kernel, or no modules")
    modules.rename(staged / "lib/modules")
    shutil.rmtree(root)
    staged.rename(root)
    normalise(root)


def _read(flavour: Flavour, digest: str, root: Path) -> Kernel:
    image = max((root / "boot").glob("vmlinuz-*"))
    return Kernel(flavour, digest, image.name.removeprefix("vmlinuz-"), image, root)
