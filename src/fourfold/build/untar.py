"""A source that is a tar, as if its files had been sent one by one: bounded, and with the same rules as any manifest.

Nothing is written where an entry's name says: contents go into the blob store by digest, and names into a manifest,
which refuses whatever could lead out.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from fourfold.build.oci.tar import Entry as Member
from fourfold.build.oci.tar import MalformedError, Reader, Stream
from fourfold.build.oci.unpack import decompressed
from fourfold.build.unpack import stripped, unpack
from fourfold.errors import TooLargeError, UserError, WorldError
from fourfold.store.files.blobs import Blobs
from fourfold.store.files.incoming import Incoming
from fourfold.store.manifest import MAX_BYTES, MAX_FILES, MAX_PATH, Entry, Manifest, bounded

MOST_ENTRIES = 2 * MAX_FILES
"""With folders, which a manifest has none of."""
MOST_BYTES = MAX_BYTES + MOST_ENTRIES * 1024
"""Uncompressed, with headers."""
_TOO_LARGE = f"a source may have {MAX_BYTES // 1024**2} MiB"
SMALLER = "leave out what the build does not need"
HINT = "send a tar, plain or compressed with gzip or zstd, or a zip: `tar -czf src.tar.gz -C FOLDER .`"


async def receive(pieces: AsyncIterator[bytes], into: Path) -> None:
    """Write what comes to the new file `into`. Raises TooLargeError, and WorldError when the disk refuses."""
    left = MAX_BYTES
    try:
        with into.open("xb") as file:
            async for piece in pieces:
                left -= len(piece)
                if left < 0:
                    raise TooLargeError(f"cannot take the source: {_TOO_LARGE}", SMALLER)
                await asyncio.to_thread(file.write, piece)
    except OSError as error:
        raise WorldError(f"cannot take the source: {error.strerror or error}", "see `df`") from error


def unpack_archive(archive: Path, name: str, blobs: Blobs) -> Manifest:
    """What is in a tar or zip, without the one folder that all is in. Blocking.

    Raises UserError for what is neither, leads out, or is larger than a source may be.
    """
    with archive.open("rb") as file:
        if file.read(4) == b"PK\x03\x04":
            return unpack(archive, name, blobs)
    try:
        with decompressed(archive, name) as stream, blobs.incoming() as incoming:
            found: dict[str, Entry] = {}
            for entry in bounded(_entries(Reader(_Counted(stream, name)), found, incoming)):
                found[entry.path] = entry
            if not found:
                raise UserError("cannot unpack the source: it has no files", HINT)
            manifest = Manifest.of(stripped(Manifest.of(found.values()).entries))
            incoming.commit()
            return manifest
    except (MalformedError, EOFError, zlib.error) as error:
        raise UserError(f"cannot unpack {name}: {error}", HINT) from error
    except OSError as error:
        raise WorldError(f"cannot unpack {name}: {error.strerror or error}", "see `df`") from error


def _entries(reader: Reader, found: dict[str, Entry], incoming: Incoming) -> Iterator[Entry]:
    """What is there; `found`, by path, is what came before: of several with one name the last counts, as for tar(1)."""
    count = total = 0
    for member in reader:
        count, total = count + 1, total + member.size
        if total > MAX_BYTES:
            raise TooLargeError(f"cannot unpack {member.name!r}: {_TOO_LARGE}", SMALLER)
        if count > MOST_ENTRIES:
            raise TooLargeError(f"cannot unpack the source: it has more than {MAX_FILES:,} files", SMALLER)
        if len(member.name) > MAX_PATH or len(member.target) > MAX_PATH:
            raise UserError(f"cannot unpack {member.name[:80]!r}…: a name is too long", SMALLER)
        if member.kind != "folder":
            yield _entry(_path(member.name), member, reader.read(), found, incoming)


def _entry(path: str, member: Member, content: Iterator[bytes], found: dict[str, Entry], incoming: Incoming) -> Entry:
    if member.kind == "file":
        sha256, size = incoming.keep(content)
        return Entry(path, 0o755 if member.mode & 0o111 else 0o644, size, sha256)
    if member.kind == "symlink":
        return Entry(path, link=member.target)
    if member.kind == "hardlink":
        first = found.get(_path(member.target))
        if first is None:
            raise UserError(f"cannot unpack {path!r}: it is a hard link to {member.target!r}, which is not before it")
        return Entry(path, first.mode, first.size, first.sha256, first.link)
    raise UserError(f"cannot unpack {path!r}: it is a {member.kind}", "leave it out")


def _path(name: str) -> str:
    """Without what tar(1) puts before names; whatever else is wrong with one, the manifest refuses."""
    while name.startswith("./"):
        name = name[2:]
    return name


class _Counted:
    """A stream that is read no further than a source may be long: what is compressed says nothing of its size."""

    def __init__(self, stream: Stream, name: str) -> None:
        self._stream = stream
        self._name = name
        self._left = MOST_BYTES

    def read(self, size: int) -> bytes:
        piece = self._stream.read(size)
        self._left -= len(piece)
        if self._left < 0:
            raise TooLargeError(f"cannot unpack {self._name}: {_TOO_LARGE}", SMALLER)
        return piece
