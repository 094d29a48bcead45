"""What guests of tests boot: this host's kernel, an initial file system with what is under test, and a small root."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
from pathlib import Path

from fourfold.build.bases.bases import Bases
from fourfold.build.bases.make import this_system
from fourfold.build.disk.guest import find_compiler
from fourfold.build.disk.initramfs import Initramfs
from fourfold.build.disk.kernel import Kernels
from fourfold.clock import SystemClock
from fourfold.paths import Paths
from fourfold.store.files import trees
from fourfold.store.files.disks import Disks
from fourfold.store.files.images import Images

PROGRAMS = (
    "sh", "cat", "sleep", "head", "tail", "id", "stty", "date", "ls", "mount", "ip", "hostname", "dd", "mkdir", "stat",
    "readlink",
)  # fmt: skip


def make_parts(folder: Path) -> None:
    """`vmlinux`, `initial` and `root.erofs`."""
    home = folder / "home"
    paths = Paths.find({"FOURFOLD_HOME": str(home)}, os.geteuid())
    find_compiler().compile(folder / "init", "-Werror")
    try:
        asyncio.run(_take_kernel(paths, folder))
    finally:
        trees.remove(home)
    _root(folder / "root")
    subprocess.run(
        ["mkfs.erofs", "--all-root", str(folder / "root.erofs"), str(folder / "root")], check=True, capture_output=True
    )


async def _take_kernel(paths: Paths, folder: Path) -> None:
    disks, images = Disks(paths), Images(paths)
    kernels = Kernels(paths, Bases(paths, SystemClock(), images), images, disks)
    kernel = await kernels.get(this_system(), print)
    initial = await Initramfs(paths, disks).get(kernel, folder / "init")
    disks.path(await kernels.vmlinux(kernel)).rename(folder / "vmlinux")
    disks.path(initial).rename(folder / "initial")


def _root(root: Path) -> None:
    """Programs with the libraries that they are linked with, for their users to be."""
    (root / "bin").mkdir(parents=True)
    for name in PROGRAMS:
        path = shutil.which(name)
        assert path is not None, name
        shutil.copy(path, root / "bin" / name)
        libraries = subprocess.run(["ldd", path], capture_output=True, text=True).stdout
        for library in re.findall(r"(/\S+) \(0x", libraries):
            target = root / library.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                shutil.copy(library, target)
    (root / "etc").mkdir()
    (root / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\nservice:x:1000:1000::/:/bin/sh\n")
