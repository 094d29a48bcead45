"""A partition table, read back as the UEFI specification says it is read."""

from __future__ import annotations

import struct
import zlib
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fourfold.build.disk import gpt

SECTOR = gpt.SECTOR
PARTS = [
    gpt.Partition("fourfold-boot", gpt.ESP, 20 * 1024**2, gpt.LEGACY_BOOT),
    gpt.Partition("fourfold-0", gpt.LINUX, 5_000_192, gpt.READ_ONLY),
    gpt.Partition("fourfold-config", gpt.LINUX, 4096),
]


def header_of(sector: bytes) -> dict[str, int]:
    names = ["signature", "revision", "size", "crc", "zero", "mine", "other", "first", "last"]
    fields = dict(zip(names, struct.unpack_from("<8sIIIIQQQQ", sector), strict=True))
    names = ["table", "entries", "entry_bytes", "table_crc"]
    fields |= dict(zip(names, struct.unpack_from("<QIII", sector, 72), strict=True))
    assert fields["signature"] == b"EFI PART" and fields["size"] == 92
    assert zlib.crc32(sector[:16] + bytes(4) + sector[20:92]) == fields["crc"]
    assert not any(sector[92:])
    return {name: value for name, value in fields.items() if name != "signature"}


def entries_of(table: bytes) -> list[tuple[UUID, UUID, int, int, int, str]]:
    found = []
    for at in range(0, len(table), 128):
        first, last, attributes = struct.unpack_from("<QQQ", table, at + 32)
        name = table[at + 56 : at + 128].decode("utf-16-le").rstrip("\0")
        if any(table[at : at + 16]):
            kind, unique = UUID(bytes_le=table[at : at + 16]), UUID(bytes_le=table[at + 16 : at + 32])
            found.append((kind, unique, first, last, attributes, name))
    return found


def test_both_tables_are_whole() -> None:
    made = gpt.layout(PARTS, "x", b"\xeb\x3c")
    assert made.size % gpt.ALIGNMENT == 0
    last = made.size // SECTOR - 1
    first, second = header_of(made.head[SECTOR : 2 * SECTOR]), header_of(made.tail[-SECTOR:])
    table = made.head[2 * SECTOR :]
    assert (first["mine"], first["other"], first["table"]) == (1, last, 2)
    assert (second["mine"], second["other"]) == (last, 1)
    assert second["table"] == (made.size - len(made.tail)) // SECTOR
    assert made.tail[:-SECTOR] == table and len(table) == 128 * 128
    assert first["table_crc"] == second["table_crc"] == zlib.crc32(table)
    assert (first["first"], first["last"]) == (34, last - 33)
    assert [(each[0], each[4], each[5]) for each in entries_of(table)] == [
        (part.kind, part.attributes, part.name) for part in PARTS
    ]


def test_a_bios_and_old_tools_see_one_partition_over_all() -> None:
    made = gpt.layout(PARTS, "x", b"\xeb\x3c")
    mbr = made.head[:SECTOR]
    assert mbr.startswith(b"\xeb\x3c") and mbr.endswith(b"\x55\xaa")
    assert mbr[446] == 0 and mbr[450] == 0xEE
    assert struct.unpack_from("<II", mbr, 454) == (1, made.size // SECTOR - 1)
    assert not any(mbr[462:510])


@settings(deadline=None)
@given(st.lists(st.integers(1, 2**41), min_size=1, max_size=20))
def test_nothing_overlaps(sizes: list[int]) -> None:
    made = gpt.layout([gpt.Partition(str(at), gpt.LINUX, size) for at, size in enumerate(sizes)], "x")
    at = len(made.head)
    for offset, size, entry in zip(made.offsets, sizes, entries_of(made.head[2 * SECTOR :]), strict=True):
        assert offset % gpt.ALIGNMENT == 0 and offset >= at
        assert entry[2] * SECTOR == offset and (entry[3] + 1) * SECTOR >= offset + size
        at = max(offset + size, (entry[3] + 1) * SECTOR)
    assert at <= made.size - len(made.tail)


def test_its_identity_decides_all_names() -> None:
    one, same, other = (gpt.layout(PARTS, name) for name in ("one", "one", "other"))
    assert one == same

    def ids(made: gpt.Layout) -> set[bytes]:
        return {made.head[SECTOR + 56 : SECTOR + 72], *(each[1].bytes for each in entries_of(made.head[2 * SECTOR :]))}

    assert len(ids(one)) == 4 and not ids(one) & ids(other)
    assert gpt.guid("one").bytes_le in ids(one)


@pytest.mark.parametrize(
    ("parts", "code"),
    [(PARTS * 50, b""), (PARTS, bytes(441)), ([gpt.Partition("x" * 37, gpt.LINUX, 1)], b"")],
)
def test_what_does_not_fit(parts: list[gpt.Partition], code: bytes) -> None:
    with pytest.raises(ValueError, match=r"more than|too long"):
        gpt.layout(parts, "x", code)
