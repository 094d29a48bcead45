"""Images that were written where their user wanted them, known again when they lie in a source.

Known by an extended attribute (xattr(7)) that holds their size and time: a copy, or what was written over one, is a
file like any other. File systems without such attributes forget it, which costs no more than an image in the next one.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

ATTRIBUTE = "user.fourfold.image"
SMALLEST = 64 * 1024
"""Bytes of a file that is worth a look."""
LAYOUT = "oci-layout"
"""A file of every folder that is an image (OCI image layout specification)."""


def mark(place: int | Path) -> None:
    """The file or folder, once it is written to its end."""
    with suppress(OSError):
        os.setxattr(place, ATTRIBUTE, _stamp(os.stat(place)))  # noqa: PTH116 - it may be a descriptor


def is_marked(path: str, status: os.stat_result) -> bool:
    try:
        return os.getxattr(path, ATTRIBUTE, follow_symlinks=False) == _stamp(status)
    except OSError:
        return False


def _stamp(status: os.stat_result) -> bytes:
    return f"{status.st_size} {status.st_mtime_ns}".encode()
