"""Tar archives that nobody has checked, entry by entry: POSIX.1-2001 "pax Interchange Format", and GNU's long names.

Not `tarfile`: it reads extended headers of any size into memory, and looks through them in quadratic time. Everything
here is bounded before it is read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

BLOCK = 512
HEADER_BYTES = 1024**2
"""Of one extended header: file capabilities and names take a few hundred."""
EXTENDED_IN_ROW = 16
"""Before one entry: programs write one for all that it has, and GNU's one for each long name."""
CHUNK = 256 * 1024

Kind = Literal["file", "folder", "symlink", "hardlink", "device", "pipe"]
_KINDS: dict[bytes, Kind] = {
    b"0": "file", b"\0": "file", b"7": "file", b"1": "hardlink", b"2": "symlink", b"3": "device", b"4": "device",
    b"5": "folder", b"6": "pipe",
}  # fmt: skip
_XATTR = "SCHILY.xattr."
_SPARSE = "GNU.sparse."
_KEPT = {"path", "linkpath", "size", "uid", "gid", "mtime", f"{_XATTR}security.capability"}
"""Of extended headers. Keys of all of them together would be more than memory holds."""
_NO_ID = 2**32 - 1
"""chown(2) takes it for `as it is`."""
_NO_SPARSE = "it holds a sparse file, which images must not (layer.md)"


class MalformedError(Exception):
    """Not a tar archive, or one that asks for more than is reasonable; the message says what is wrong."""


class Stream(Protocol):
    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""
        ...


@dataclass(frozen=True)
class Entry:
    name: str
    """As it stands there; bytes that are not UTF-8 as surrogates."""
    kind: Kind
    size: int = 0
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    target: str = ""
    """Of a link."""
    xattrs: Mapping[str, bytes] = field(default_factory=dict)


class Reader:
    """Goes through `stream` once. `read` gives the content of the entry that was given last."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._left = 0
        self._padding = 0

    def __iter__(self) -> Iterator[Entry]:
        """Raises MalformedError."""
        shared: dict[str, bytes] = {}
        own: dict[str, bytes] = {}
        in_row = 0
        while (header := self._header()) is not None:
            kind, size = header[156:157], _number(header[124:136])
            in_row += 1
            if in_row > EXTENDED_IN_ROW + 1:
                raise MalformedError(f"an entry has more than {EXTENDED_IN_ROW} extended headers")
            if kind == b"g":
                shared |= _pax(self._extended(size))
            elif kind == b"x":
                own |= _pax(self._extended(size))
            elif kind in (b"L", b"K"):
                own["path" if kind == b"L" else "linkpath"] = self._extended(size).rstrip(b"\0")
            else:
                entry = _entry(header, {**shared, **own})
                own, in_row = {}, 0
                self._left, self._padding = entry.size, -entry.size % BLOCK
                yield entry
                self._skip()

    def read(self) -> Iterator[bytes]:
        while self._left:
            piece = self._stream.read(min(CHUNK, self._left))
            if not piece:
                raise MalformedError("it ends in the middle of a file")
            self._left -= len(piece)
            yield piece

    def _skip(self) -> None:
        for _ in self.read():
            pass
        self._exactly(self._padding)
        self._padding = 0

    def _header(self) -> bytes | None:
        """None at the end: a block of zeros, or, as some programs write it, just no more bytes."""
        block = self._exactly(BLOCK, may_end=True)
        if not block.strip(b"\0"):
            return None
        if _number(block[148:156]) != sum(block[:148]) + 8 * 32 + sum(block[156:]):
            raise MalformedError("a header has a wrong checksum: it is no tar archive")
        return block

    def _extended(self, size: int) -> bytes:
        if size > HEADER_BYTES:
            raise MalformedError(f"an extended header has {size:,} bytes")
        content = self._exactly(size)
        self._exactly(-size % BLOCK)
        return content

    def _exactly(self, size: int, may_end: bool = False) -> bytes:
        content = b""
        while len(content) < size:
            piece = self._stream.read(size - len(content))
            if not piece:
                if may_end and not content:
                    return b""
                raise MalformedError("it ends in the middle of an entry")
            content += piece
        return content


def _entry(header: bytes, extended: Mapping[str, bytes]) -> Entry:
    code = header[156:157]
    if code == b"S":
        raise MalformedError(_NO_SPARSE)
    if code not in _KINDS:
        raise MalformedError(f"an entry has the unknown type {code!r}")
    name = extended.get("path") or _ustar_name(header)
    kind = _KINDS[code]
    if kind == "file" and name.endswith(b"/"):
        kind = "folder"  # before POSIX, that was how folders were written
    return Entry(
        name=os.fsdecode(name),
        kind=kind,
        size=_decimal(extended, "size", _number(header[124:136])) if kind == "file" else 0,
        mode=_number(header[100:108]) & 0o7777,
        uid=_owner(extended, "uid", _number(header[108:116])),
        gid=_owner(extended, "gid", _number(header[116:124])),
        mtime=_decimal(extended, "mtime", _number(header[136:148])),
        target=os.fsdecode(extended.get("linkpath") or _text(header[157:257])),
        xattrs={key.removeprefix(_XATTR): value for key, value in extended.items() if key.startswith(_XATTR)},
    )


def _ustar_name(header: bytes) -> bytes:
    name = _text(header[0:100])
    prefix = _text(header[345:500]) if header[257:263] == b"ustar\0" else b""
    return prefix + b"/" + name if prefix else name


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _number(field: bytes) -> int:
    """Octal digits, or GNU's form for large numbers: big-endian with the first bit set."""
    if field[0] & 0x80:
        value = int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
    else:
        digits = field.strip(b" \0")
        if not all(digit in b"01234567" for digit in digits):
            raise MalformedError(f"a header has {digits!r} for a number")
        value = int(digits or b"0", 8)
    if value >= 2**63:
        raise MalformedError("a header has a number that is negative or too large")
    return value


def _owner(extended: Mapping[str, bytes], name: str, otherwise: int) -> int:
    value = _decimal(extended, name, otherwise)
    if value >= _NO_ID:
        raise MalformedError(f"a header has {value} for {name}")
    return value


def _decimal(extended: Mapping[str, bytes], name: str, otherwise: int) -> int:
    """A pax number; times may have a fraction, which is dropped."""
    if name not in extended:
        return otherwise
    whole = extended[name].partition(b".")[0]
    if not whole.isdigit() or len(whole) > 18:
        if name == "mtime" and whole.startswith(b"-"):
            return 0
        raise MalformedError(f"an extended header has {whole[:40]!r} for {name}")
    return int(whole)


def _pax(content: bytes) -> dict[str, bytes]:
    """Records `LENGTH KEY=VALUE\\n`, those of use; LENGTH counts all of the record."""
    found: dict[str, bytes] = {}
    at = 0
    while at < len(content):
        blank = content.find(b" ", at, at + 8)
        digits = content[at:blank]
        end = at + int(digits) if blank > at and digits.isdigit() else 0
        if not blank < end - 1 < len(content) or content[end - 1 : end] != b"\n":
            raise MalformedError("an extended header is broken")
        key, is_set, value = content[blank + 1 : end - 1].partition(b"=")
        if not is_set:
            raise MalformedError("an extended header is broken")
        name = os.fsdecode(key)
        if name.startswith(_SPARSE):
            raise MalformedError(_NO_SPARSE)
        if name in _KEPT:
            found[name] = value
        at = end
    return found
