"""A folder that others write to, as entries of a tar: read by descriptors, so that no link leads out of it.

Services go on meanwhile. What vanishes is left out; a file has as many bytes as it had when it was opened.
"""

from __future__ import annotations

import errno
import os
import stat
import tarfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from fourfold.build.oci.names import DEEPEST, LONGEST_PATH

PIECE = 256 * 1024
MOST_LINKS = 100_000
"""Files with several names that are known again; beyond that each name is a file of its own."""
_REPLACED = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO)
"""Of what was removed, or became something else, between two looks."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

Member = tuple[tarfile.TarInfo, Iterable[bytes]]


def members(root: Path, name: str, left_out: Callable[[str], None]) -> Iterator[Member]:
    """The folder `root` as the member `name`, and all in it; `left_out` hears of sockets, pipes, devices, and of what
    lies too deep to be written back. Content has to be taken before the next one. Raises OSError."""
    links: dict[tuple[int, int], str] = {}
    top = os.open(root, _FOLDER)
    opened = [(top, _names(top), name)]
    try:
        yield _info(name, os.fstat(top), tarfile.DIRTYPE), ()
        while opened:
            handle, names, where = opened[-1]
            if (each := next(names, None)) is None:
                os.close(handle)
                opened.pop()
                continue
            path = f"{where}/{each}"
            if len(os.fsencode(path)) > LONGEST_PATH or len(opened) >= DEEPEST:
                left_out(path)
                continue
            try:
                status = os.stat(each, dir_fd=handle, follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    inner = os.open(each, _FOLDER, dir_fd=handle)
                    opened.append((inner, _names(inner), path))
                    yield _info(path, os.fstat(inner), tarfile.DIRTYPE), ()
                elif stat.S_ISLNK(status.st_mode):
                    info = _info(path, status, tarfile.SYMTYPE)
                    info.linkname = os.readlink(each, dir_fd=handle)
                    yield info, ()
                elif stat.S_ISREG(status.st_mode):
                    yield from _file(os.open(each, _FILE, dir_fd=handle), path, links)
                else:
                    left_out(path)
            except OSError as error:
                if error.errno not in _REPLACED:
                    raise
    finally:
        for handle, _, _ in opened:
            os.close(handle)


def _names(folder: int) -> Iterator[str]:
    with os.scandir(folder) as found:
        return iter(sorted(entry.name for entry in found))


def _file(handle: int, path: str, links: dict[tuple[int, int], str]) -> Iterator[Member]:
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):  # replaced meanwhile
            return
        info = _info(path, status, tarfile.REGTYPE)
        identity = (status.st_dev, status.st_ino)
        if (first := links.get(identity)) is not None:
            info.type, info.linkname = tarfile.LNKTYPE, first
            yield info, ()
            return
        if status.st_nlink > 1 and len(links) < MOST_LINKS:
            links[identity] = path
        info.size = status.st_size
        yield info, content(handle, info.size)
    finally:
        os.close(handle)


def content(handle: int, size: int) -> Iterator[bytes]:
    """Exactly `size` bytes: of a file that has become shorter, zeros at its end."""
    while size:
        piece = os.read(handle, min(PIECE, size)) or bytes(min(PIECE, size))
        size -= len(piece)
        yield piece


def _info(name: str, status: os.stat_result, kind: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.mode = stat.S_IMODE(status.st_mode)
    info.uid, info.gid = status.st_uid, status.st_gid
    info.mtime = int(status.st_mtime)
    return info
