"""A kernel for guests in tests, and the initial file system with what is under test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

MODULES = (
    "drivers/virtio/virtio_ring", "drivers/virtio/virtio", "drivers/virtio/virtio_mmio", "drivers/block/virtio_blk",
    "net/core/failover", "drivers/net/net_failover", "drivers/net/virtio_net", "drivers/char/virtio_console",
    "lib/libcrc32c", "fs/erofs/erofs", "fs/overlayfs/overlay", "drivers/acpi/button", "drivers/input/evdev",
)  # fmt: skip


@lru_cache
def kernel() -> Path | None:
    """A folder with `vmlinux` and `lib/modules/RELEASE`."""
    folder = Path(os.environ.get("FOURFOLD_TEST_KERNEL", "/nonexistent"))
    return folder if (folder / "vmlinux").is_file() else None


def initial(init: bytes) -> bytes:
    """The cpio archive that the kernel unpacks: init and its modules."""
    root = kernel()
    assert root is not None
    (release,) = (root / "lib/modules").iterdir()
    modules = {f"{Path(name).name}.ko": (release / "kernel" / f"{name}.ko").read_bytes() for name in MODULES}
    files = {"init": init, "modules/list": "".join(f"{name}\n" for name in modules).encode()}
    files |= {f"modules/{name}": content for name, content in modules.items()}
    return b"".join(_archive({"modules": None, **files}))


def _archive(files: dict[str, bytes | None]) -> Iterator[bytes]:
    for number, (name, content) in enumerate([*files.items(), ("TRAILER!!!", b"")], 1):
        mode = 0o40755 if content is None else 0o100755
        path, body = name.encode() + b"\0", content or b""
        fields = (number, mode, 0, 0, 1, 0, len(body), 0, 0, 0, 0, len(path), 0)
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + path
        for part in (head, body):
            yield part + bytes(-len(part) % 4)
