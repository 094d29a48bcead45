"""Zips that nobody has checked, opened without letting their directory fill the memory.

`zipfile` reads a whole central directory at once (APPNOTE.TXT, section 4.3.12), and keeps some 400 bytes for each
record of 46 bytes or more in it, before anybody can count them.
"""

from __future__ import annotations

import io
import lzma
import os
import struct
import zipfile
import zlib

from fourfold.store.manifest import MAX_FILES

MOST_RECORDS = 2 * MAX_FILES
"""With folders."""
_MOST_BYTES = 32 * 1024 * 1024
_SHORTEST = 46
_BEGIN = b"PK\1\2"
DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError),
    *(LookupError, RuntimeError, ValueError),
)
"""What comes of one that is damaged, or encrypted, or compressed in a way that nothing here knows: `zipfile` does not
translate what it stumbles over."""


class Archive(io.FileIO):
    """What `zipfile` may open; zipfile.BadZipFile for a directory that is larger than a source may have, or that names
    places outside of the file."""

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        if whence == os.SEEK_SET and offset < 0:
            raise zipfile.BadZipFile("its directory is damaged")
        return super().seek(offset, whence)

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > _MOST_BYTES:
            raise _too_many()
        data = super().read(-1 if size is None else size)
        check_records(data)
        return data


def check_records(data: bytes) -> None:
    """Raises zipfile.BadZipFile for a directory of too many; smaller pieces of the file are none."""
    if len(data) > MOST_RECORDS * _SHORTEST and data.count(_BEGIN) > MOST_RECORDS:
        raise _too_many()


def _too_many() -> zipfile.BadZipFile:
    return zipfile.BadZipFile(f"its directory is longer than one of the {MAX_FILES:,} files that a source may have")
