"""The EFI system partition: kernel and initial file system once, with what starts them under UEFI and under a BIOS.

systemd-boot starts the kernel by its own EFI stub, SYSLINUX by the boot protocol of Linux; both read the same two
files. (A unified kernel image would have to hold them a second time.) mtools writes the FAT: nothing is mounted.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from fourfold.build.oci.pack import TIME
from fourfold.errors import UserError, WorldError
from fourfold.paths import Paths
from fourfold.store.files.disks import Disks
from fourfold.store.files.staging import staging

FORMAT = 1
"""Part of every partition's key: raise it when the same inputs are to give other bytes than before."""
EFI_LOADER = Path("/usr/lib/systemd/boot/efi/systemd-bootx64.efi")
BIOS_LOADER = Path("/usr/lib/syslinux/modules/bios/ldlinux.c32")
MBR = Path("/usr/lib/syslinux/mbr/gptmbr.bin")
_PACKAGES = {
    "mformat": "mtools",
    "mcopy": "mtools",
    "mmd": "mtools",
    "syslinux": "syslinux",
    "qemu-img": "qemu-utils",
    os.fspath(EFI_LOADER): "systemd-boot-efi",
    os.fspath(BIOS_LOADER): "syslinux-common",
    os.fspath(MBR): "syslinux-common",
}
_VOLUME, _NUMBER = "FOURFOLD", "4f464f46"
_SECTOR, _MIB = 512, 1024 * 1024
_HEADS, _SECTORS = 64, 32
"""Of a cylinder of 1 MiB."""
_START = _MIB // _SECTOR
"""Sector of the disk where the partition begins: SYSLINUX must know."""
_MARGIN = _MIB
"""For the loaders, the tables, and the last cluster of each file."""
_CLUSTERS = 60_000
"""FAT16 has at most 65,524."""
_SECONDS = 120
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC", "MTOOLS_SKIP_CHECK": "1"}


def require_means() -> None:
    """Raises UserError where a program or a boot loader is missing."""
    missing = sorted({package for what, package in _PACKAGES.items() if shutil.which(what, os.F_OK) is None})
    if missing:
        raise UserError(
            f"cannot make a bootable disk: {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed",
            f"apt-get install {' '.join(missing)}",
        )


class BootPartitions:
    """Blocking: for threads."""

    def __init__(self, paths: Paths, disks: Disks) -> None:
        self._work = paths.work
        self._disks = disks

    def get(self, kernel: Path, initrd: Path, parameters: Sequence[str]) -> Path:
        """Made if it is not there. `parameters` are the kernel's. Raises UserError and WorldError."""
        require_means()
        facts = [FORMAT, _digest(kernel), _digest(initrd), list(parameters), tools()]
        key = hashlib.sha256(json.dumps(["boot partition", *facts]).encode()).hexdigest()
        if self._disks.has(key):
            return self._disks.path(key)
        with staging(self._work, "esp", "make a bootable disk") as folder:
            (folder / "out").mkdir()
            make(folder / "out/new", folder, kernel, initrd, parameters)
            return self._disks.publish(key, folder / "out/new")


def make(image: Path, work: Path, kernel: Path, initrd: Path, parameters: Sequence[str]) -> None:
    """Write the new file `image`; `work` is for files on the way."""
    size = -(-(kernel.stat().st_size + initrd.stat().st_size + _MARGIN) // _MIB) * _MIB
    with image.open("xb") as file:
        file.truncate(size)
    geometry = ["-T", str(size // _SECTOR), "-h", str(_HEADS), "-s", str(_SECTORS), "-c", str(cluster(size))]
    _run("mformat", "-i", image, "-N", _NUMBER, "-v", _VOLUME, *geometry, "-H", str(_START), "::")
    _run("mmd", "-i", image, "::EFI", "::EFI/BOOT", "::loader", "::loader/entries")
    for name, content in texts(parameters).items():
        (work / "text").write_text(content)
        _run("mcopy", "-i", image, work / "text", f"::{name}")
    files = {"EFI/BOOT/BOOTX64.EFI": EFI_LOADER, "ldlinux.c32": BIOS_LOADER, "linux": kernel, "initrd": initrd}
    for name, path in files.items():
        _run("mcopy", "-i", image, path, f"::{name}")
    _run("syslinux", "--install", image, work=work)


def texts(parameters: Sequence[str]) -> dict[str, str]:
    """What the two loaders read. Pure."""
    said = " ".join(parameters)
    return {
        "loader/loader.conf": "timeout 0\neditor no\ndefault fourfold.conf\n",
        "loader/entries/fourfold.conf": f"title Fourfold\nlinux /linux\ninitrd /initrd\noptions {said}\n",
        "syslinux.cfg": "DEFAULT fourfold\nPROMPT 0\nTIMEOUT 0\nNOESCAPE 1\n"
        f"LABEL fourfold\n  LINUX /linux\n  INITRD /initrd\n  APPEND {said}\n",
    }


def cluster(size: int) -> int:
    """Sectors of a cluster, so that there are few enough for FAT16, which every firmware reads."""
    sectors = 4
    while size // (sectors * _SECTOR) > _CLUSTERS:
        sectors *= 2
    return sectors


def tools() -> str:
    """Whoever writes other bytes has another name. Not kept: they may be upgraded while the daemon runs."""
    found = [shutil.which(name) for name in ("mformat", "syslinux")]
    files = [*(Path(os.path.realpath(path)) for path in found if path), EFI_LOADER, BIOS_LOADER]
    return " ".join(_digest(path) for path in files)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _run(*argv: str | Path, work: Path | None = None) -> None:
    environment = {**ENVIRONMENT, "SOURCE_DATE_EPOCH": str(TIME), **({"TMPDIR": str(work)} if work else {})}
    try:
        subprocess.run(argv, env=environment, check=True, capture_output=True, timeout=_SECONDS)
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().rpartition("\n")[2] or f"exit code {error.returncode}"
        raise WorldError(f"cannot make a bootable disk: {argv[0]}: {said}", "see `df`") from error
    except subprocess.TimeoutExpired as error:
        raise WorldError(f"cannot make a bootable disk: {argv[0]} took more than {_SECONDS} s", "see `df`") from error
