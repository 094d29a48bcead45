"""A stream-optimized VMDK, read back twice: by its tables, and as the stream of markers that ESXi takes it for."""

from __future__ import annotations

import io
import random
import struct
import zlib

import pytest

from fourfold.build.disk import vmdk

GRAIN, SECTOR = vmdk.GRAIN, vmdk.SECTOR
SIZE = 1030 * GRAIN  # two full grain tables, and a part of a third


@pytest.fixture(scope="module")
def raw() -> bytes:
    """The second table's grains are all empty; some others are, too."""
    chance = random.Random(7)
    disk = bytearray(SIZE)
    for number in (0, 3, 4, 511, 1024, 1029):
        disk[number * GRAIN : (number + 1) * GRAIN] = chance.randbytes(GRAIN // 2) + bytes(GRAIN // 2)
    return bytes(disk)


@pytest.fixture(scope="module")
def made(raw: bytes) -> bytes:
    out = io.BytesIO()
    vmdk.write(io.BytesIO(raw), SIZE, out, "web.vmdk", 0xABCD)
    return out.getvalue()


def directory_of(header: bytes) -> int:
    magic, version, flags, capacity, grain, descriptor, length, entries, spare, directory, overhead, unclean = (
        struct.unpack_from("<4sIIQQQQIQQQB", header)
    )
    assert (magic, version, flags) == (b"KDMV", 3, 0x30001)
    assert (capacity * SECTOR, grain * SECTOR, entries, overhead) == (SIZE, GRAIN, 512, 128)
    assert (descriptor, length, spare, unclean) == (1, 20, 0, 0)
    assert header[73:79] == b"\n \r\n\1\0" and not any(header[79:])
    return int(directory)


def test_by_its_tables(raw: bytes, made: bytes) -> None:
    assert directory_of(made[:SECTOR]) == 2**64 - 1
    footer = made[-3 * SECTOR :]
    assert struct.unpack_from("<QII", footer) == (1, 0, 3) and not any(footer[2 * SECTOR :])
    at = directory_of(footer[SECTOR : 2 * SECTOR])
    tables = struct.unpack_from("<3I", made, at * SECTOR)
    assert tables[0] and not tables[1] and tables[2]
    found = bytearray(SIZE)
    for number, table in enumerate(tables):
        grains = struct.unpack_from("<512I", made, table * SECTOR) if table else ()
        for index, sector in enumerate(grains):
            if sector:
                place, size = struct.unpack_from("<QI", made, sector * SECTOR)
                assert place * SECTOR == (number * 512 + index) * GRAIN
                begin = sector * SECTOR + 12
                found[place * SECTOR : place * SECTOR + GRAIN] = zlib.decompress(made[begin : begin + size])
    assert bytes(found) == raw


def test_as_a_stream(raw: bytes, made: bytes) -> None:
    at, kinds, places = 128 * SECTOR, [], []
    while True:
        value, size, kind = struct.unpack_from("<QII", made, at)
        if size:
            places.append(value * SECTOR)
            kinds.append("grain")
            at += -(-(12 + size) // SECTOR) * SECTOR
            continue
        kinds.append({0: "end", 1: "table", 2: "directory", 3: "footer"}[kind])
        at += (1 + value) * SECTOR
        if kind == 0:
            break
    assert at == len(made)
    assert kinds == [*["grain"] * 4, "table", *["grain"] * 2, "table", "directory", "footer", "end"]
    assert places == [number * GRAIN for number in (0, 3, 4, 511, 1024, 1029)]


def test_what_it_says_of_itself(made: bytes) -> None:
    said = made[SECTOR : 21 * SECTOR].rstrip(b"\0").decode()
    assert 'createType="streamOptimized"' in said and "CID=0000abcd\nparentCID=ffffffff\n" in said
    assert f'RW {SIZE // SECTOR} SPARSE "web.vmdk"\n' in said


def test_the_same_disk_gives_the_same_bytes(raw: bytes, made: bytes) -> None:
    out = io.BytesIO()
    vmdk.write(io.BytesIO(raw), SIZE, out, "web.vmdk", 0xABCD)
    assert out.getvalue() == made


def test_a_size_that_is_none() -> None:
    with pytest.raises(ValueError, match="no multiple"):
        vmdk.write(io.BytesIO(), GRAIN + 512, io.BytesIO(), "x", 1)
