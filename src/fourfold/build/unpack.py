"""A source that is a zip, as if its files had been sent one by one: bounded, and with the same rules as any manifest.

Nothing is written where a member's name says: contents go into the blob store by digest, and names into a manifest,
which refuses whatever could lead out.
"""

from __future__ import annotations

import hashlib
import stat
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO

from fourfold.build.archive import DAMAGED, Archive
from fourfold.errors import UserError
from fourfold.store.files.blobs import Blobs
from fourfold.store.files.incoming import Incoming
from fourfold.store.manifest import MAX_BYTES, MAX_FILES, Entry, Manifest

_CHUNK = 1024 * 1024
_LINK_BYTES = 4096


def unpack(archive: Path, name: str, blobs: Blobs, strip: bool = True) -> Manifest:
    """What is in it; with `strip`, without the one folder that all is in.

    Raises UserError for what is not a zip, is encrypted, leads out, or is larger than a source may be.
    """
    try:
        with Archive(archive) as file, zipfile.ZipFile(file) as opened, blobs.incoming() as incoming:
            members = [
                info for info in opened.infolist() if not info.is_dir() and not info.filename.startswith("__MACOSX/")
            ]
            # What a member claims to hold can be a lie: `_read` counts what really comes out.
            if len(members) > MAX_FILES or sum(info.file_size for info in members) > MAX_BYTES:
                raise UserError(
                    f"cannot unpack {name!r}: it holds more than a source may (512 MiB, {MAX_FILES:,} files)"
                )
            checked = Manifest.of(_entry(opened, info, blobs, incoming) for info in members)
            incoming.commit()
            return Manifest.of(stripped(checked.entries)) if strip else checked
    except DAMAGED as error:
        raise UserError(f"cannot unpack {name!r}: {error}", "make the zip anew, without a password") from error


def _entry(opened: zipfile.ZipFile, info: zipfile.ZipInfo, blobs: Blobs, incoming: Incoming) -> Entry:
    mode = info.external_attr >> 16
    if stat.S_ISLNK(mode):
        target = b"".join(_read(opened, info, _LINK_BYTES))
        return Entry(info.filename, link=target.decode(errors="surrogateescape"))
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        raise UserError(f"cannot unpack {info.filename!r}: it is a device or socket")
    digest, size = hashlib.sha256(), 0
    for chunk in _read(opened, info, MAX_BYTES):
        digest.update(chunk)
        size += len(chunk)
    sha256 = digest.hexdigest()
    if not blobs.has(sha256):
        incoming.add(sha256, _read(opened, info, MAX_BYTES))
    return Entry(info.filename, 0o755 if mode & 0o111 else 0o644, size, sha256)


def _read(opened: zipfile.ZipFile, info: zipfile.ZipInfo, limit: int) -> Iterator[bytes]:
    left = min(limit, info.file_size)
    with opened.open(info) as member:
        while chunk := _piece(member):
            left -= len(chunk)
            if left < 0:
                raise UserError(f"cannot unpack {info.filename!r}: it is larger than the zip says or allowed")
            yield chunk


def _piece(member: IO[bytes]) -> bytes:
    try:
        return member.read(_CHUNK)
    except OSError as error:  # of the decompressor of bzip2
        raise zipfile.BadZipFile(str(error)) from error


def stripped(entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
    """Without the one folder that all is in, as archives of repositories have it."""
    tops = {entry.path.partition("/")[0] for entry in entries}
    if len(tops) != 1 or any("/" not in entry.path for entry in entries):
        return entries
    top = tops.pop() + "/"
    return tuple(replace(entry, path=entry.path.removeprefix(top)) for entry in entries)
