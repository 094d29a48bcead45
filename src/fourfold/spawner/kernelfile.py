"""Small files of the kernel (/proc, control groups), without the layers of ordinary ones: many are read at once."""

from __future__ import annotations

import os

_PIECE = 8192
_ALL = 2048
"""Of records such as lines of pids the kernel gives a page at a time, as many as fit: what is far less is the end."""


def read(path: str) -> bytes:
    """All of it. OSError: it is not there (any more)."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        piece = found = os.read(fd, _PIECE)
        while len(piece) >= _ALL:
            piece = os.read(fd, _PIECE)
            found += piece
        return found
    finally:
        os.close(fd)
