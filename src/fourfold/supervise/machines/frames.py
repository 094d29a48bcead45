"""Frames of a virtual machine's control channel. The numbers are those of `guest/protocol.h`."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum

_HEADER = struct.Struct("<IHBx")
"""Bytes of the payload, session, kind."""
WINDOW = 65536
"""Bytes of a session that may be on the way in each direction before there is MORE."""
CHUNK = 16384
"""Of one INPUT."""


class Kind(IntEnum):
    HELLO = 1
    SIGNAL = 2
    EXEC = 4
    INPUT = 5
    RESIZE = 6
    KILL = 7
    USAGE = 8
    TIME = 9
    FREEZE = 10
    THAW = 11
    MORE = 12
    OUTPUT = 32
    ERRORS = 33
    EXIT = 34
    DONE = 35


def frame(kind: Kind, session: int = 0, payload: bytes = b"") -> bytes:
    return _HEADER.pack(len(payload), session, kind) + payload


def frames(unread: bytearray) -> Iterator[tuple[int, int, bytes]]:
    """(session, kind, payload) of the whole frames, which are taken out of `unread`."""
    while len(unread) >= _HEADER.size:
        size, session, kind = _HEADER.unpack_from(unread)
        end = _HEADER.size + size
        if len(unread) < end:
            return
        payload = bytes(unread[_HEADER.size : end])
        del unread[:end]
        yield session, kind, payload


def entries(pairs: list[tuple[str, str]]) -> bytes:
    """`KEY=VALUE\\0` each. Raises ValueError for a NUL within."""
    if any("\0" in value for _, value in pairs):
        raise ValueError("a NUL")
    return b"".join(f"{key}={value}\0".encode("utf-8", "surrogateescape") for key, value in pairs)


def read_entries(payload: bytes) -> dict[str, str]:
    text = payload.decode("utf-8", "replace")
    return {key: value for entry in text.split("\0") for key, found, value in [entry.partition("=")] if found}
