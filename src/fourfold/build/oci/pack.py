"""A folder -> the tar of a layer, the same bytes for the same content wherever and whenever it is made.

Sorted, times fixed, owners and modes as the kind of layer says. The tar is a stream of pieces: digested, compressed and
written by whoever reads it, never whole in memory.
"""

from __future__ import annotations

import errno
import hashlib
import os
import posixpath
import stat
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from fourfold.build.oci.names import OPAQUE, WHITEOUT
from fourfold.build.oci.rootfs import CAPABILITY, OPAQUE_XATTR
from fourfold.build.oci.tar import CHUNK

TIME = 315_532_800
"""1980-01-01, the first that zip files can say: Python's `zipfile` refuses older ones."""
LEVEL = 1
_SAMPLE = 16 * 1024
_SOLID = 0.9
"""What shrinks to more than this is stored as it is: JARs and pictures are compressed already, at 20 times the time."""


@dataclass(frozen=True)
class Piece:
    content: bytes
    stored: bool = False
    """Not worth compressing."""


def tree_layer(tree: Path, wanted: Callable[[str], bool], prefix: str = "app") -> Iterator[Piece]:
    """What `wanted(name)` takes of a sealed tree, below `prefix`. Owner root, modes 0555 and 0444, times `TIME`.

    Folders are those on the way to what is wanted; empty ones are wanted by their own name.
    """
    yield from _folder_of(prefix)
    for name, path, status in _sorted(tree, wanted):
        yield from _member(_info(posixpath.join(prefix, name), path, status, sealed=True), path)
    yield Piece(bytes(2 * tarfile.BLOCKSIZE))


def root_layer(root: Path) -> Iterator[Piece]:
    """An unpacked layer as it is, whiteouts in their transported form; the times of folders are not kept."""
    for name, path, status in _sorted(root, lambda name: True):
        folder, _, base = name.rpartition("/")
        if stat.S_ISCHR(status.st_mode):
            yield from _marker(posixpath.join(folder, WHITEOUT + base))
            continue
        yield from _member(_info(name, path, status, sealed=False), path)
        if stat.S_ISDIR(status.st_mode) and OPAQUE_XATTR in os.listxattr(path, follow_symlinks=False):
            yield from _marker(posixpath.join(name, OPAQUE))
    yield Piece(bytes(2 * tarfile.BLOCKSIZE))


def diff_id(pieces: Iterable[Piece]) -> str:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece.content)
    return digest.hexdigest()


def compress(pieces: Iterable[Piece], file: IO[bytes]) -> tuple[str, str]:
    """Write gzip to `file`; the SHA-256 of what was written, and of the tar.

    Stored pieces are members of their own (RFC 1952, 2.2), since a member has one level.
    """
    written, whole = hashlib.sha256(), hashlib.sha256()
    stored, member = False, _member_of(False)

    def out(content: bytes) -> None:
        written.update(content)
        file.write(content)

    for piece in pieces:
        if piece.stored != stored:
            out(member.flush())
            stored, member = piece.stored, _member_of(piece.stored)
        whole.update(piece.content)
        out(member.compress(piece.content))
    out(member.flush())
    return written.hexdigest(), whole.hexdigest()


def _member_of(stored: bool) -> zlib._Compress:
    return zlib.compressobj(0 if stored else LEVEL, zlib.DEFLATED, 31)


def _sorted(root: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, Path, os.stat_result]]:
    """Depth first, by name; links are not followed."""
    open_folders = [_entries(root, "")]
    while open_folders:
        for name, path, status in open_folders[-1]:
            if wanted(name):
                yield name, path, status
            if stat.S_ISDIR(status.st_mode):
                open_folders.append(_entries(path, name))
                break
        else:
            open_folders.pop()


def _entries(folder: Path, name: str) -> Iterator[tuple[str, Path, os.stat_result]]:
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: os.fsencode(entry.name))
    for entry in entries:
        yield posixpath.join(name, entry.name), Path(entry.path), entry.stat(follow_symlinks=False)


def _folder_of(prefix: str) -> Iterator[Piece]:
    info = tarfile.TarInfo(prefix)
    info.type, info.mode, info.mtime = tarfile.DIRTYPE, 0o555, TIME
    yield _header(info)


def _marker(name: str) -> Iterator[Piece]:
    info = tarfile.TarInfo(name)
    info.mode, info.mtime = 0o600, TIME
    yield _header(info)


def _info(name: str, path: Path, status: os.stat_result, sealed: bool) -> tarfile.TarInfo:
    """Hard links become files of their own: which one is the first is no property of the content."""
    info = tarfile.TarInfo(name)
    info.mode = stat.S_IMODE(status.st_mode)
    info.uid, info.gid = (0, 0) if sealed else (status.st_uid, status.st_gid)
    info.mtime = TIME if sealed or stat.S_ISDIR(status.st_mode) else int(status.st_mtime)
    if stat.S_ISDIR(status.st_mode):
        info.type = tarfile.DIRTYPE
    elif stat.S_ISLNK(status.st_mode):
        info.type, info.linkname, info.mode = tarfile.SYMTYPE, os.fsdecode(path.readlink()), 0o777
    elif not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is a socket, a pipe or a device", os.fspath(path))
    else:
        info.size = status.st_size
        if not sealed and CAPABILITY in os.listxattr(path, follow_symlinks=False):
            value = os.getxattr(path, CAPABILITY, follow_symlinks=False)
            info.pax_headers = {f"SCHILY.xattr.{CAPABILITY}": value.decode("utf-8", "surrogateescape")}
    if sealed and not info.issym():
        info.mode = 0o555 if info.isdir() or status.st_mode & 0o100 else 0o444
    return info


def _header(info: tarfile.TarInfo) -> Piece:
    return Piece(info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))


def _member(info: tarfile.TarInfo, path: Path) -> Iterator[Piece]:
    yield _header(info)
    if not info.isreg():
        return
    left = info.size
    with path.open("rb", buffering=0) as file:
        large = left > CHUNK
        stored = False
        while content := file.read(min(left, CHUNK)):
            left -= len(content)
            stored = large and _is_solid(content)
            yield Piece(content, stored)
    if left:
        raise OSError(errno.EIO, "it became shorter while it was read", os.fspath(path))
    yield Piece(bytes(-info.size % tarfile.BLOCKSIZE), stored)


def _is_solid(content: bytes) -> bool:
    """By a part in its middle: a JAR begins with what can be compressed."""
    middle = max(len(content) - _SAMPLE, 0) // 2
    sample = content[middle : middle + _SAMPLE]
    return len(zlib.compress(sample, LEVEL)) > _SOLID * len(sample)
