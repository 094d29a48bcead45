"""What `--rebuild` makes anew of what machines stand on, beside their bases."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from fourfold.build.bases.bases import Bases
from fourfold.build.container import Containers, Trees
from fourfold.build.disk.initramfs import Initramfs
from fourfold.build.disk.kernel import Flavour, Kernel, Kernels
from fourfold.build.vm import Machines
from fourfold.paths import Paths
from fourfold.store.files.images import Images


class Fetched:
    """Kernels that are asked for; of each flavour in `known` there is one."""

    def __init__(self, *known: Flavour) -> None:
        self._known = known
        self.asked: list[tuple[Flavour, str]] = []

    def known(self, system: object, flavour: Flavour = "cloud") -> bool:
        return flavour in self._known

    async def get(
        self, system: object, log: Callable[[str], None], flavour: Flavour = "cloud", fresh: str = ""
    ) -> Kernel:
        self.asked.append((flavour, fresh))
        return cast(Kernel, flavour)

    async def vmlinux(self, kernel: Kernel) -> str:
        return f"vmlinux of {kernel}"


INIT = "1d" * 32


class Packed:
    async def get(self, kernel: Kernel, init: Path, everywhere: bool = False) -> str:
        return f"initrd of {kernel}"


@pytest.mark.parametrize(
    ("known", "fresh", "asked"),
    [
        (["cloud", "full"], "", [("cloud", "")]),
        (["cloud"], "op1", [("cloud", "op1")]),
        (["cloud", "full"], "op1", [("cloud", "op1"), ("full", "op1")]),
    ],
    ids=["nothing is asked to be new", "no disk was exported", "a disk was exported"],
)
def test_kernels_of_exported_disks_are_renewed_with_that_of_this_host(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    known: list[Flavour],
    fresh: str,
    asked: list[tuple[Flavour, str]],
) -> None:
    async def init(self: Machines) -> str:
        return INIT

    paths = Paths.find({"FOURFOLD_HOME": str(tmp_path)}, 0)
    machines = Machines(paths, Images(paths), cast(Bases, None), cast(Containers, None), cast(Trees, None))
    fetched = Fetched(*known)
    machines.kernels, machines.initramfs = cast(Kernels, fetched), cast(Initramfs, Packed())
    monkeypatch.setattr(Machines, "init", init)
    made = asyncio.run(machines.kernel(lambda line: None, fresh))
    assert tuple(map(str, made)) == ("cloud", "vmlinux of cloud", "initrd of cloud", INIT)
    assert fetched.asked == asked
