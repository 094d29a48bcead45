"""Whole disks: what is where, the same bytes twice, read by qemu-img; nothing is left when writing fails."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from fourfold.build.disk import esp, export, gpt
from fourfold.errors import UserError, WorldError
from fourfold.paths import Paths
from fourfold.store.files.disks import Disks
from tests.build.disk.test_gpt import entries_of
from tests.support.small import small_folder

WEB = export.Hardware("shop-web", 256 * 1024**2, 1)
MIB = 1024**2


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths.find({"FOURFOLD_HOME": str(tmp_path / "home")}, os.geteuid())


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A kernel and an initial file system that no loader would start."""
    chance = random.Random(3)
    kernel, initrd = tmp_path / "kernel", tmp_path / "initrd"
    kernel.write_bytes(chance.randbytes(5 * MIB))
    initrd.write_bytes(chance.randbytes(MIB) + bytes(3 * MIB))
    return kernel, initrd


@pytest.fixture
def contents(paths: Paths, files: tuple[Path, Path], tmp_path: Path) -> export.Contents:
    roots = []
    for number in range(2):
        roots.append(tmp_path / f"root{number}")
        roots[-1].write_bytes(random.Random(number).randbytes(MIB + 4096) + bytes(2 * MIB) + b"end".ljust(4096, b"\0"))
    boot = esp.BootPartitions(paths, Disks(paths)).get(*files, export.PARAMETERS)
    return export.Contents(boot, tuple(roots), b"FOURFOLD GUEST 1 0000000000\n")


def listed(image: Path) -> set[str]:
    said = subprocess.run(
        ["mdir", "-i", image, "-a", "-b", "-/", "::"], capture_output=True, text=True, check=True
    ).stdout
    return {line.removeprefix("::/") for line in said.split()}


def test_what_boots(paths: Paths, files: tuple[Path, Path], tmp_path: Path) -> None:
    partitions = esp.BootPartitions(paths, Disks(paths))
    made = partitions.get(*files, ("console=ttyS0", "quiet"))
    assert partitions.get(*files, ("console=ttyS0", "quiet")) == made
    assert partitions.get(*files, ("quiet",)) != made
    assert {"EFI/BOOT/BOOTX64.EFI", "loader/loader.conf", "loader/entries/fourfold.conf"} <= listed(made)
    assert {"linux", "initrd", "syslinux.cfg", "ldlinux.sys", "ldlinux.c32"} <= listed(made)
    for name, path in zip(("linux", "initrd"), files, strict=True):
        subprocess.run(["mcopy", "-i", made, f"::{name}", tmp_path / "copy"], check=True)
        assert (tmp_path / "copy").read_bytes() == path.read_bytes()
        (tmp_path / "copy").unlink()
    content = made.read_bytes()
    assert b"APPEND console=ttyS0 quiet\n" in content and b"options console=ttyS0 quiet\n" in content
    assert int.from_bytes(content[28:32], "little") == MIB // 512, "hidden sectors: SYSLINUX counts from there"
    assert content[510:512] == b"\x55\xaa" and content[54:62] == b"FAT16   "
    assert list(paths.work.iterdir()) == []


@pytest.mark.parametrize("megabytes", [6, 20, 118, 300, 1900])
def test_few_enough_clusters(megabytes: int) -> None:
    clusters = megabytes * MIB // 512 // esp.cluster(megabytes * MIB)
    assert clusters + 1200 >= 4085 and clusters < 65_525


def test_the_same_bytes_wherever_it_is_made(paths: Paths, files: tuple[Path, Path], tmp_path: Path) -> None:
    images = []
    for name in ("one", "two"):
        work = tmp_path / name
        work.mkdir()
        esp.make(work / "esp", work, *files, ("quiet",))
        images.append((work / "esp").read_bytes())
    assert images[0] == images[1]


def test_partitions(contents: export.Contents, tmp_path: Path) -> None:
    export.assemble(contents, tmp_path / "raw")
    disk = (tmp_path / "raw").read_bytes()
    entries = entries_of(disk[2 * 512 : 34 * 512])
    assert [each[5] for each in entries] == ["fourfold-boot", "fourfold-0", "fourfold-1", "fourfold-config"]
    assert entries[0][0] == gpt.ESP and entries[0][4] == gpt.LEGACY_BOOT
    expected = [contents.boot.read_bytes(), *(root.read_bytes() for root in contents.roots), contents.config]
    for entry, content in zip(entries, expected, strict=True):
        assert disk[entry[2] * 512 :].startswith(content)
    assert (entries[3][3] - entries[3][2] + 1) * 512 == export.CONFIG_BYTES
    assert disk.startswith(esp.MBR.read_bytes())
    assert (tmp_path / "raw").stat().st_blocks * 512 < len(disk) - 3 * MIB, "sparse"


@pytest.mark.parametrize("form", export.KERNELS)
def test_formats(contents: export.Contents, paths: Paths, tmp_path: Path, form: str) -> None:
    made = export.export(contents, form, WEB, paths.work)
    assert list(paths.work.iterdir()) == [], "what is read has no name"
    content = b"".join(made.pieces)
    assert (len(content), hashlib.sha256(content).hexdigest()) == (made.size, made.digest)
    assert export.export(contents, form, WEB, paths.work).digest == made.digest, "the same input, the same bytes"
    other = replace(contents, config=contents.config + b"x=y\0")
    assert export.export(other, form, WEB, paths.work).digest != made.digest
    if form != "ova":
        export.assemble(contents, tmp_path / "raw")
        (tmp_path / "image").write_bytes(content)
        read = "vpc" if form == "vhd" else form
        argv = ["qemu-img", "compare", "-f", "raw", "-F", read, str(tmp_path / "raw"), str(tmp_path / "image")]
        assert subprocess.run(argv, capture_output=True, text=True).stdout == "Images are identical.\n"
    if form in ("qcow2", "vmdk", "vdi"):
        argv = ["qemu-img", "check", "--output=json", "-f", form, str(tmp_path / "image")]
        said = json.loads(subprocess.run(argv, capture_output=True, check=True).stdout)
        assert said["check-errors"] == 0 and not said.get("corruptions")


@pytest.mark.parametrize(
    ("form", "fits"),
    [(form, fits) for form in export.KERNELS for fits in (False, True) if not (fits and form in ("raw", "vhd"))],
)
def test_a_full_disk(contents: export.Contents, tmp_path: Path, form: str, fits: bool) -> None:
    """Whatever there is of a file, nobody gets it. `fits`: the disk in it does; raw and vhd are nothing else."""
    export.assemble(contents, tmp_path / "raw")
    disk = (tmp_path / "raw").stat().st_blocks * 512
    with small_folder(tmp_path / "small", disk + MIB if fits else disk - MIB):
        with pytest.raises(WorldError, match=r"cannot make the image: .*No space left on device") as caught:
            export.export(contents, form, WEB, tmp_path / "small/work")
        assert "make room" in str(caught.value.hint)
        assert list((tmp_path / "small/work").iterdir()) == []


def test_what_qemu_says_is_told(contents: export.Contents, paths: Paths) -> None:
    with pytest.raises(WorldError, match=r"cannot make the image: .*[Uu]nknown file format"):
        export._convert(contents.boot, paths.work / "x", "-O", "nonsense")


def test_tools_that_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name, mode: None if "sys" in name else name)
    with pytest.raises(UserError, match="syslinux, syslinux-common, systemd-boot-efi are not installed") as caught:
        esp.require_means()
    assert caught.value.hint == "apt-get install syslinux syslinux-common systemd-boot-efi"


def test_a_loader_that_was_upgraded_makes_another_partition(
    paths: Paths, files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the daemon runs."""
    loader = tmp_path / "loader.efi"
    shutil.copyfile(esp.EFI_LOADER, loader)
    monkeypatch.setattr(esp, "EFI_LOADER", loader)
    partitions = esp.BootPartitions(paths, Disks(paths))
    made = partitions.get(*files, ("quiet",))
    loader.write_bytes(loader.read_bytes() + b"newer")
    assert partitions.get(*files, ("quiet",)) != made
