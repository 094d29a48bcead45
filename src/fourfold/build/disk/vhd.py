"""Fixed VHD, as Hyper-V and Azure take it: the raw disk with a footer. Pure.

Microsoft, "Virtual Hard Disk Image Format Specification", 1.0.
"""

from __future__ import annotations

import struct
from uuid import UUID

FOOTER_BYTES = 512
_FIXED = 2
_WRITER = b"qem2"
"""Its readers take the size from the footer, not from what cylinders, heads and sectors multiply to."""


def footer(size: int, identity: UUID) -> bytes:
    """For a disk of `size` bytes. It was made at the beginning of the format's time, 2000-01-01."""
    cylinders, heads, sectors = geometry(size // 512)

    def packed(checksum: int) -> bytes:
        return struct.pack(
            ">8sIIQI4sI4sQQHBBII16sB",
            b"conectix",
            2,
            0x10000,
            0xFFFFFFFFFFFFFFFF,
            0,
            _WRITER,
            0x00050003,
            b"Wi2k",
            size,
            size,
            cylinders,
            heads,
            sectors,
            _FIXED,
            checksum,
            identity.bytes,
            0,
        ).ljust(FOOTER_BYTES, b"\0")

    return packed(~sum(packed(0)) & 0xFFFFFFFF)


def geometry(total: int) -> tuple[int, int, int]:
    """Cylinders, heads and sectors per track for so many sectors: the specification's appendix."""
    total = min(total, 65535 * 16 * 255)
    if total >= 65535 * 16 * 63:
        return total // 255 // 16, 16, 255
    sectors = 17
    tracks = total // sectors
    heads = max(4, (tracks + 1023) // 1024)
    if tracks >= heads * 1024 or heads > 16:
        sectors, heads = 31, 16
        tracks = total // sectors
    if tracks >= heads * 1024:
        sectors, heads = 63, 16
        tracks = total // sectors
    return tracks // heads, heads, sectors
