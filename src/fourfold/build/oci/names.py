"""What an entry's name in a layer means: a place in the layer, or a whiteout. Pure.

Whiteouts (OCI image specification, layer.md, "Representing Changes"): `dir/.wh.NAME` says that NAME of the layers below
is gone, `dir/.wh..wh..opq` that all of `dir` below is. Other names with `.wh..wh.` are leftovers of AUFS.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"
_LEFTOVER = ".wh..wh."
LONGEST_NAME = 255
LONGEST_PATH = 3000
"""Bytes, so that it can still be said behind the folder that it is unpacked to (PATH_MAX is 4096)."""
DEEPEST = 128


class RefusedError(Exception):
    """An entry that must not be unpacked; the message says why."""


@dataclass(frozen=True)
class Place:
    kind: Literal["entry", "whiteout", "opaque", "ignored"]
    parents: tuple[str, ...]
    name: str
    """Of a whiteout: what is gone. Empty for the layer's root itself and for an opaque folder (its `parents`)."""


def place_of(name: str) -> Place:
    """Raises RefusedError for names that are absolute, lead up, are too long, or are malformed whiteouts."""
    parts = parts_of(name)
    if not parts:
        return Place("entry", (), "")
    *above, last = parts
    parents = tuple(above)
    for parent in parents:
        if parent.startswith(WHITEOUT):
            raise RefusedError(f"it lies in {parent!r}, a whiteout, which cannot hold anything")
    if last == OPAQUE:
        return Place("opaque", parents, "")
    if last.startswith(_LEFTOVER):
        return Place("ignored", parents, last)
    if not last.startswith(WHITEOUT):
        return Place("entry", parents, last)
    gone = last.removeprefix(WHITEOUT)
    if gone in ("", ".", ".."):
        raise RefusedError(f"it is a whiteout of {gone!r}, which is no name")
    return Place("whiteout", parents, gone)


def parts_of(name: str) -> tuple[str, ...]:
    """The name's parts, without `.` and empty ones. Raises RefusedError as `place_of`."""
    if name.startswith("/"):
        raise RefusedError("its name is absolute")
    if "\0" in name or len(name.encode(errors="surrogateescape")) > LONGEST_PATH:
        raise RefusedError(f"its name is longer than {LONGEST_PATH} bytes, or holds a zero byte")
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if ".." in parts:
        raise RefusedError("its name leads out, with ..")
    if len(parts) > DEEPEST:
        raise RefusedError(f"it lies deeper than {DEEPEST} folders")
    if any(len(part.encode(errors="surrogateescape")) > LONGEST_NAME for part in parts):
        raise RefusedError(f"a part of its name is longer than {LONGEST_NAME} bytes")
    return parts
