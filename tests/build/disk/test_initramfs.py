"""The initial file system: its archive, the order of its modules, and the kernel beside it."""

from __future__ import annotations

import gzip
import lzma
import struct
import subprocess
from pathlib import Path

import pytest

from fourfold.build.disk.bzimage import decompress, vmlinux
from fourfold.build.disk.initramfs import archive
from fourfold.build.disk.modules import Modules
from fourfold.errors import UserError, WorldError

LINUX = b"\x7fELF" + bytes(range(256)) * 64


def listed(content: bytes) -> dict[str, tuple[int, bytes]]:
    """Name -> mode and content, as the kernel reads them."""
    found: dict[str, tuple[int, bytes]] = {}
    place = 0
    while True:
        assert content[place : place + 6] == b"070701"
        numbers = [int(content[place + 6 + 8 * index : place + 14 + 8 * index], 16) for index in range(13)]
        size, length = numbers[6], numbers[11]
        name = content[place + 110 : place + 109 + length].decode()
        start = place + 110 + length + -(110 + length) % 4
        if name == "TRAILER!!!":
            return found
        found[name] = (numbers[1], content[start : start + size])
        place = start + size + -size % 4


def test_the_archive_is_what_the_kernel_reads() -> None:
    found = listed(b"".join(archive({"modules/a.ko": b"12345", "init": b"\x7fELF"})))
    assert found["init"] == (0o100755, b"\x7fELF")
    assert found["modules/a.ko"] == (0o100644, b"12345")
    assert found["dev/console"][0] == 0o020600
    assert list(found).index("modules") < list(found).index("modules/a.ko")


def test_equal_files_give_equal_bytes() -> None:
    one = b"".join(archive({"a": b"1", "b": b"2"}))
    assert one == b"".join(archive({"b": b"2", "a": b"1"}))


def module(folder: Path, name: str, *facts: str) -> None:
    place = folder / "lib/modules/6.1/kernel" / f"{name}.ko"
    place.parent.mkdir(parents=True, exist_ok=True)
    content = b"\x7fELF\0" + b"".join(fact.encode() + b"\0" for fact in facts)
    if name.endswith("-packed"):
        place.with_name(f"{name}.ko.xz").write_bytes(lzma.compress(content))
    else:
        place.write_bytes(content)


def test_modules_are_loaded_after_what_they_need(tmp_path: Path) -> None:
    module(tmp_path, "virtio_net", "depends=virtio,net-failover-packed", "name=virtio_net")
    module(tmp_path, "net-failover-packed", "depends=failover")
    module(tmp_path, "failover", "depends=")
    module(tmp_path, "virtio", "depends=virtio_ring")
    module(tmp_path, "virtio_ring", "depends=")
    module(tmp_path, "erofs", "depends=libcrc32c", "softdep=pre: lz4 post: crc")
    module(tmp_path, "libcrc32c", "softdep=pre: crc32c")
    module(tmp_path, "crc32c_generic")
    module(tmp_path, "circle_a", "depends=circle_b")
    module(tmp_path, "circle_b", "depends=circle_a")
    modules = Modules(tmp_path)
    assert modules.needed(["virtio-net", "built_in", "erofs"]) == [
        *("virtio_ring", "virtio", "failover", "net_failover_packed", "virtio_net"),
        *("crc32c_generic", "libcrc32c", "erofs"),
    ]
    assert modules.content("net_failover_packed").startswith(b"\x7fELF")
    assert set(modules.needed(["circle_a"])) == {"circle_a", "circle_b"}


def image(payload: bytes, setup: int = 4) -> bytes:
    head = bytearray((setup + 1) * 512 + 16)
    head[0x1F1] = 0 if setup == 4 else setup
    head[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", head, 0x206, 0x20F)
    struct.pack_into("<II", head, 0x248, 16, len(payload))
    return bytes(head) + payload + b"rest of it"


def test_the_kernel_is_found_in_its_image() -> None:
    size = struct.pack("<I", len(LINUX))
    assert vmlinux(image(lzma.compress(LINUX) + size)) == LINUX
    assert vmlinux(image(gzip.compress(LINUX), setup=31)) == LINUX
    for argv in (["lz4", "-lqc"], ["zstd", "-qc"]):
        packed = subprocess.run(argv, input=LINUX, capture_output=True, check=True).stdout
        assert vmlinux(image(packed + size)) == LINUX


def test_what_is_no_kernel_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WorldError, match="no bzImage"):
        vmlinux(bytes(4096))
    with pytest.raises(WorldError, match="no ELF program"):
        vmlinux(image(lzma.compress(b"something else")))
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(UserError, match="lz4, which is not installed"):
        decompress(b"\x02\x21\x4c\x18 and so on")
