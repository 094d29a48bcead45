"""Whole disks for other hypervisors, from what a machine of this host boots: partitions around the same file systems.

Everything is written into a folder that is removed before anybody reads of it: an image is there whole, or not at all.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal
from uuid import UUID

from fourfold.build.disk import esp, gpt, ovf, vhd, vmdk
from fourfold.build.model import DIES_WITH_US
from fourfold.errors import WorldError
from fourfold.store.files.staging import staging

CONFIG = "fourfold-config"
ROOT = "fourfold-{}"
"""Names of partitions, by which the guest finds them: see guest/README.md."""
CONFIG_BYTES = gpt.ALIGNMENT
"""At least; whoever runs the image may give it a larger one than we did."""
KERNELS: dict[str, Literal["cloud", "full"]] = {
    "raw": "cloud",
    "qcow2": "cloud",
    "vmdk": "full",
    "vdi": "full",
    "vhd": "full",
    "ova": "full",
}
"""Format -> the kernel that has drivers for those who take it: VirtualBox, VMware and Hyper-V show other hardware."""
PARAMETERS = ("console=tty0", "console=ttyS0,115200", "quiet", "panic=-1", "no_timer_check")
"""Of the kernel, on machines that we know nothing of. On a busy host, its check of the timer fails in a guest."""
_CHUNK = 1024 * 1024
_SECONDS = 600
_VDI_IDENTITY = 392
"""Where a VDI has its UUID, and behind it that of its last change."""


@dataclass(frozen=True)
class Contents:
    boot: Path
    """The EFI system partition."""
    roots: tuple[Path, ...]
    """Read-only file systems, lowest first."""
    config: bytes
    """What the guest is told."""


@dataclass(frozen=True)
class Hardware:
    """Which machine a package asks for."""

    name: str
    memory: int
    cpus: int


@dataclass(frozen=True)
class DiskImage:
    digest: str
    """SHA-256 in hex."""
    size: int
    pieces: Iterator[bytes]
    """Once; reading blocks. The file has no name any more: it is gone with whoever reads it."""


def export(contents: Contents, form: str, hardware: Hardware, work: Path) -> DiskImage:
    """The image in one of the formats of `KERNELS`. Blocking. Raises WorldError when the disk refuses."""
    with staging(work, "image", "make the image") as folder:
        made = write(contents, form, hardware, folder)
        with made.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return DiskImage(digest, made.stat().st_size, _pieces(made.open("rb")))


def write(contents: Contents, form: str, hardware: Hardware, folder: Path) -> Path:
    """The new file in `folder`. Raises OSError and WorldError."""
    raw = folder / "raw"
    identity = assemble(contents, raw)
    made = folder / f"new.{form}"
    if form == "raw":
        return raw
    if form == "vhd":
        with raw.open("ab") as file:
            file.write(vhd.footer(file.tell(), identity))
        return raw
    if form == "qcow2":
        _convert(raw, made, "-c", "-O", "qcow2", "-o", "compression_type=zstd")
    elif form == "vdi":
        _convert(raw, made, "-O", "vdi")
        with made.open("r+b") as file:
            file.seek(_VDI_IDENTITY)
            file.write(identity.bytes_le * 2)
    else:
        size = raw.stat().st_size
        disk = folder / "disk.vmdk"
        name = f"{hardware.name}-disk1.vmdk" if form == "ova" else f"{hardware.name}.vmdk"
        with raw.open("rb") as source, disk.open("xb") as target:
            vmdk.write(source, size, target, name, int.from_bytes(identity.bytes[:4], "big"))
        if form == "vmdk":
            return disk
        appliance = ovf.Appliance(hardware.name, hardware.memory, hardware.cpus, size, disk.stat().st_size)
        with made.open("xb") as target:
            ovf.write_package(appliance, disk, target)
    return made


def assemble(contents: Contents, raw: Path) -> UUID:
    """Write the new file `raw`, sparse where there is nothing; the disk's identity, which its content decides."""
    config = contents.config.ljust(CONFIG_BYTES, b"\0")
    sizes = [each.stat().st_size for each in (contents.boot, *contents.roots)]
    partitions = [
        gpt.Partition("fourfold-boot", gpt.ESP, sizes[0], gpt.LEGACY_BOOT),
        *(gpt.Partition(ROOT.format(number), gpt.LINUX, size, gpt.READ_ONLY) for number, size in enumerate(sizes[1:])),
        gpt.Partition(CONFIG, gpt.LINUX, len(config), gpt.READ_ONLY),
    ]
    code = esp.MBR.read_bytes()
    offsets = gpt.layout(partitions, "", code).offsets
    digest = hashlib.sha256()
    with raw.open("xb") as out:
        for path, offset in zip((contents.boot, *contents.roots), offsets, strict=False):
            with path.open("rb") as content:
                out.seek(offset)
                for piece in _pieces(content):
                    digest.update(piece)
                    if piece == bytes(len(piece)):
                        out.seek(len(piece), os.SEEK_CUR)
                    else:
                        out.write(piece)
        digest.update(config)
        out.seek(offsets[-1])
        out.write(config)
        whole = gpt.layout(partitions, digest.hexdigest(), code)
        out.seek(0)
        out.write(whole.head)
        out.seek(whole.size - len(whole.tail))
        out.write(whole.tail)
    return gpt.guid(digest.hexdigest())


def _convert(raw: Path, made: Path, *options: str) -> None:
    argv: Sequence[str | Path] = [*DIES_WITH_US, "qemu-img", "convert", "-f", "raw", *options, raw, made]
    try:
        subprocess.run(argv, env=esp.ENVIRONMENT, check=True, capture_output=True, timeout=_SECONDS)
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().rpartition("\n")[2].removeprefix("qemu-img: ")
        raise WorldError(f"cannot make the image: {said}", "make room on the disk, see `df`") from error
    except subprocess.TimeoutExpired as error:
        raise WorldError(f"cannot make the image: qemu-img took more than {_SECONDS} s", "see `df`") from error


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while piece := file.read(_CHUNK):
            yield piece
