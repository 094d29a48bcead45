"""The initial file system: our init and the kernel modules that it loads, as the kernel's cpio archive.

`/init` is the guest's program (`guest/`). `/modules/list` names files beside it, one a line, each after all that it
needs: they are loaded first. `/modules/shares` is for folders of the host, where there are any. Format: "newc",
Documentation/driver-api/early-userspace/buffer-format.rst of Linux. Not compressed: for the guest to read it is quicker
than to decompress it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path

from fourfold.build.disk.kernel import Kernel
from fourfold.build.disk.keys import disk_key
from fourfold.build.disk.modules import Modules
from fourfold.paths import Paths
from fourfold.store.files.disks import Disks
from fourfold.store.files.staging import staging

_QEMU = (
    "virtio_ring", "virtio", "virtio_mmio", "virtio_pci", "virtio_console", "virtio_blk", "virtio_net", "virtio_rng",
    "erofs", "overlay", "button", "evdev",
)  # fmt: skip
_SHARES = ("virtiofs",)
_ELSEWHERE = (
    "nvme", "ahci", "ata_piix", "virtio_scsi", "mptspi", "mptsas", "vmw_pvscsi", "hv_vmbus", "hv_storvsc",
    "xen_blkfront", "sd_mod", "e1000", "e1000e", "vmxnet3", "hv_netvsc", "ena", "xen_netfront",
)  # fmt: skip
"""Disks and networks of other hypervisors and of clouds. Kernels of the flavour `cloud` have some of them only."""
_FOLDERS = ("dev", "modules", "proc", "root", "run", "sys")
_DIRECTORY, _FILE, _DEVICE = 0o040000, 0o100000, 0o020000


class Initramfs:
    def __init__(self, paths: Paths, disks: Disks) -> None:
        self._work = paths.work
        self._disks = disks

    async def get(self, kernel: Kernel, init: Path, everywhere: bool = False) -> str:
        """Key in `store.files.disks`. `everywhere`: with drivers for other hosts than QEMU's microvm and q35."""
        return await asyncio.to_thread(self._get, kernel, init, everywhere)

    def _get(self, kernel: Kernel, init: Path, everywhere: bool) -> str:
        first = (*_QEMU, *(_ELSEWHERE if everywhere else ()))
        content = init.read_bytes()
        key = disk_key("initramfs", kernel.digest, first, _SHARES, sha256(content).hexdigest())
        if self._disks.has(key):
            return key
        modules = Modules(kernel.root)
        listed = modules.needed(first)
        shares = [name for name in modules.needed(_SHARES) if name not in listed]
        files = {f"modules/{name}.ko": modules.content(name) for name in (*listed, *shares)}
        for name, names in {"list": listed, "shares": shares}.items():
            files[f"modules/{name}"] = "".join(f"{each}.ko\n" for each in names).encode()
        with staging(self._work, "initramfs", "store the initial file system") as folder:
            with (folder / "new").open("wb") as file:
                file.writelines(archive({"init": content, **files}))
            self._disks.publish(key, folder / "new")
        return key


def archive(files: dict[str, bytes], folders: Iterable[str] = _FOLDERS) -> Iterator[bytes]:
    """A cpio archive in pieces: folders, the console that init has open, files. All is root's, from 1970."""
    number = 0
    for name in sorted(folders):
        number += 1
        yield from _member(number, name, _DIRECTORY | 0o755)
    yield from _member(number + 1, "dev/console", _DEVICE | 0o600, device=(5, 1))
    for place, (name, content) in enumerate(sorted(files.items()), number + 2):
        yield from _member(place, name, _FILE | (0o755 if name == "init" else 0o644), content)
    yield from _member(0, "TRAILER!!!", 0)


def _member(
    number: int, name: str, mode: int, content: bytes = b"", device: tuple[int, int] = (0, 0)
) -> Iterator[bytes]:
    encoded = name.encode() + b"\0"
    links = 2 if mode & _DIRECTORY == _DIRECTORY else 1
    numbers = (number, mode, 0, 0, links, 0, len(content), 0, 0, *device, len(encoded), 0)
    yield b"070701" + b"".join(b"%08X" % each for each in numbers)
    yield encoded + bytes(-(110 + len(encoded)) % 4)
    yield content
    yield bytes(-len(content) % 4)
