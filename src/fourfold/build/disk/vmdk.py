"""A stream-optimized VMDK, the form that OVF packages have: compressed, written once from front to end.

VMware, "Virtual Disk Format 5.0". Written here, because ESXi refuses what `qemu-img` makes: that has no footer
(https://github.com/flatcar/scripts/pull/540), and a random content ID.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import IO

SECTOR = 512
GRAIN = 64 * 1024
_GRAINS_AT_ONCE = 512
"""As many as a grain table has entries."""
_COVERED = _GRAINS_AT_ONCE * GRAIN
_OVERHEAD = 128
"""Sectors before the first grain."""
_DESCRIPTOR_SECTORS = 20
_AT_END = 0xFFFFFFFFFFFFFFFF
_FLAGS = 0x30001  # line endings can be tested, grains are compressed, markers tell what follows
_TABLE, _DIRECTORY, _FOOTER = 1, 2, 3
_LEVEL = 6
_HEADS, _SECTORS = 16, 63
_EMPTY = bytes(GRAIN)

DESCRIPTOR = """\
# Disk DescriptorFile
version=1
CID={cid:08x}
parentCID=ffffffff
createType="streamOptimized"

# Extent description
RW {sectors} SPARSE "{name}"

# The Disk Data Base
#DDB

ddb.adapterType = "ide"
ddb.geometry.cylinders = "{cylinders}"
ddb.geometry.heads = "{heads}"
ddb.geometry.sectors = "{per_track}"
ddb.virtualHWVersion = "10"
"""


def write(raw: IO[bytes], size: int, out: IO[bytes], name: str, cid: int) -> None:
    """`raw` is a disk of `size` bytes, a multiple of 64 KiB; `cid` identifies its content (32 bits)."""
    if size % GRAIN:
        raise ValueError(f"{size} is no multiple of {GRAIN}")
    sectors = size // SECTOR
    described = DESCRIPTOR.format(
        cid=cid & 0xFFFFFFFF or 1,
        sectors=sectors,
        name=name,
        cylinders=min(sectors // (_HEADS * _SECTORS), 16383),
        heads=_HEADS,
        per_track=_SECTORS,
    )
    out.write(header(sectors, _AT_END))
    out.write(described.encode().ljust(_DESCRIPTOR_SECTORS * SECTOR, b"\0"))
    out.write(bytes((_OVERHEAD - 1 - _DESCRIPTOR_SECTORS) * SECTOR))
    at = _OVERHEAD
    directory = []
    with ThreadPoolExecutor(2) as pool:
        for start in range(0, size, _COVERED):
            table = [0] * _GRAINS_AT_ONCE
            for index, packed in _compressed(raw, start, min(size - start, _COVERED), pool.map):
                table[index] = at
                at += _out(out, struct.pack("<QI", (start + index * GRAIN) // SECTOR, len(packed)) + packed)
            directory.append(at + 1 if any(table) else 0)
            if any(table):
                at += _out(out, _marker(_TABLE, 4) + struct.pack(f"<{_GRAINS_AT_ONCE}I", *table))
    entries = struct.pack(f"<{len(directory)}I", *directory)
    entries = entries.ljust(-(-len(entries) // SECTOR) * SECTOR, b"\0")
    found = at + 1
    _out(out, _marker(_DIRECTORY, len(entries) // SECTOR) + entries)
    _out(out, _marker(_FOOTER, 1) + header(sectors, found) + bytes(SECTOR))


Map = Callable[[Callable[[bytes], bytes], Iterator[bytes]], Iterator[bytes]]


def _compressed(raw: IO[bytes], start: int, length: int, each: Map) -> Iterator[tuple[int, bytes]]:
    """Number and compressed content of each grain from `start` on that is not empty."""
    raw.seek(start)
    grains = {number: raw.read(GRAIN) for number in range(length // GRAIN)}
    full = {number: grain for number, grain in grains.items() if grain != _EMPTY}
    return zip(full, each(lambda grain: zlib.compress(grain, _LEVEL), iter(full.values())), strict=True)


def header(sectors: int, directory: int) -> bytes:
    """`directory`: sector of the grain directory, or `_AT_END` where the footer says it."""
    fixed = (b"KDMV", 3, _FLAGS, sectors, GRAIN // SECTOR, 1, _DESCRIPTOR_SECTORS, _GRAINS_AT_ONCE, 0, directory)
    packed = struct.pack("<4sIIQQQQIQQQB4sH", *fixed, _OVERHEAD, 0, b"\n \r\n", 1)
    return packed.ljust(SECTOR, b"\0")


def _marker(kind: int, sectors: int) -> bytes:
    return struct.pack("<QII", sectors, 0, kind).ljust(SECTOR, b"\0")


def _out(out: IO[bytes], content: bytes) -> int:
    """Sectors written: it is padded to whole ones."""
    count = -(-len(content) // SECTOR)
    out.write(content.ljust(count * SECTOR, b"\0"))
    return count
