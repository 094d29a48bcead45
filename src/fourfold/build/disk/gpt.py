"""A GUID partition table around the contents of a disk, for UEFI and for a BIOS. Pure: sizes in, bytes out.

UEFI specification 2.10, chapter 5; the attribute that `gptmbr.bin` looks for is its legacy-boot bit (table 5.8).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID, uuid5

SECTOR = 512
ALIGNMENT = 1024 * 1024
"""Of partitions and of the whole: Azure takes no disk that is no multiple of it."""
ESP = UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
LINUX = UUID("0fc63daf-8483-4772-8e79-3d69d8477de4")
LEGACY_BOOT = 1 << 2
READ_ONLY = 1 << 60
_NAMESPACE = UUID("6f1f4c5e-7d43-5b7c-9a38-2f0a1f6bb6d2")
_ENTRIES, _ENTRY_BYTES = 128, 128
_TABLE_SECTORS = _ENTRIES * _ENTRY_BYTES // SECTOR
_BOOT_CODE_BYTES = 440
_PROTECTIVE = 0xEE


@dataclass(frozen=True)
class Partition:
    name: str
    """At most 36 characters: the kernel shows it as PARTNAME."""
    kind: UUID
    size: int
    attributes: int = 0


@dataclass(frozen=True)
class Layout:
    size: int
    """Of the whole disk."""
    offsets: tuple[int, ...]
    """Where each partition's content belongs."""
    head: bytes
    """Of the disk, up to the first partition."""
    tail: bytes
    """The copy of the table that ends the disk."""


def layout(partitions: Sequence[Partition], identity: str, boot_code: bytes = b"") -> Layout:
    """`identity` decides all GUIDs: the same disk has the same. `boot_code` is what a BIOS starts.

    Raises ValueError for more than a table holds.
    """
    if len(partitions) > _ENTRIES or len(boot_code) > _BOOT_CODE_BYTES:
        raise ValueError("more than a partition table holds")
    offsets, at = [], ALIGNMENT
    for each in partitions:
        offsets.append(at)
        at = aligned(at + each.size)
    size = at + ALIGNMENT
    last = size // SECTOR - 1
    table = b"".join(
        _entry(each, offset, uuid5(_NAMESPACE, f"{identity}/{each.name}"))
        for each, offset in zip(partitions, offsets, strict=True)
    ).ljust(_ENTRIES * _ENTRY_BYTES, b"\0")
    disk = guid(identity)
    first = _header(1, last, 2, last, disk, table)
    second = _header(last, 1, last - _TABLE_SECTORS, last, disk, table)
    return Layout(size, tuple(offsets), _protective(last, boot_code) + first + table, table + second)


def guid(identity: str) -> UUID:
    """Of the disk with this identity."""
    return uuid5(_NAMESPACE, identity)


def aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _entry(partition: Partition, offset: int, unique: UUID) -> bytes:
    name = partition.name.encode("utf-16-le")
    if len(name) > 72:
        raise ValueError(f"the partition name {partition.name!r} is too long")
    first = offset // SECTOR
    end = first + -(-partition.size // SECTOR) - 1
    ids = partition.kind.bytes_le + unique.bytes_le
    return ids + struct.pack("<QQQ72s", first, end, partition.attributes, name)


def _header(mine: int, other: int, table_at: int, last: int, disk: UUID, table: bytes) -> bytes:
    """`mine` and `other` are the sectors of this header and of its copy."""

    def packed(checksum: int) -> bytes:
        return struct.pack(
            "<8sIIIIQQQQ16sQIII",
            b"EFI PART",
            0x10000,
            92,
            checksum,
            0,
            mine,
            other,
            2 + _TABLE_SECTORS,
            last - 1 - _TABLE_SECTORS,
            disk.bytes_le,
            table_at,
            _ENTRIES,
            _ENTRY_BYTES,
            zlib.crc32(table),
        )

    return packed(zlib.crc32(packed(0))).ljust(SECTOR, b"\0")


def _protective(last: int, boot_code: bytes) -> bytes:
    """An MBR with one partition over everything, so that old tools leave the disk alone."""
    whole = struct.pack("<B3sB3sII", 0, b"\x00\x02\x00", _PROTECTIVE, b"\xff\xff\xff", 1, min(last, 0xFFFFFFFF))
    return boot_code.ljust(446, b"\0") + whole.ljust(64, b"\0") + b"\x55\xaa"
