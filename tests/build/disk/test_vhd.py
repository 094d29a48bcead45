"""The footer of a fixed VHD, read back as its specification says."""

from __future__ import annotations

import struct
from uuid import UUID

import pytest

from fourfold.build.disk import vhd

MIB = 1024 * 1024


def test_its_fields() -> None:
    size, identity = 58 * MIB, UUID(int=7)
    made = vhd.footer(size, identity)
    assert len(made) == 512 and made[:8] == b"conectix"
    features, version, data, made_at = struct.unpack_from(">IIQI", made, 8)
    assert (features, version, data, made_at) == (2, 0x10000, 2**64 - 1, 0)
    assert struct.unpack_from(">QQ", made, 40) == (size, size)
    assert struct.unpack_from(">HBB", made, 56) == vhd.geometry(size // 512)
    assert struct.unpack_from(">I", made, 60) == (2,)
    (checksum,) = struct.unpack_from(">I", made, 64)
    assert checksum == ~sum(made[:64] + made[68:]) & 0xFFFFFFFF
    assert made[68:84] == identity.bytes and not any(made[84:])


@pytest.mark.parametrize(
    ("size", "expected"),
    [  # worked out by the specification's appendix
        (58 * MIB, (998, 7, 17)),
        (500 * MIB, (1015, 16, 63)),
        (10 * 1024 * MIB, (20805, 16, 63)),
    ],
)
def test_geometry(size: int, expected: tuple[int, int, int]) -> None:
    found = vhd.geometry(size // 512)
    assert found[1] <= 16 and found[0] * found[1] * found[2] * 512 <= size
    assert found == expected
