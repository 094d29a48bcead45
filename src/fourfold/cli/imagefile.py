"""An image, or a backup, written where the user says: as that file, or as the folder that is in the tar.

Written without a name, or beside its place, and renamed at the end: what is there under its name is whole.
"""

from __future__ import annotations

import errno
import io
import os
import re
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from fourfold.build import outputs
from fourfold.errors import UserError, WorldError

STDOUT = "-"
_MEMBER = re.compile(r"oci-layout|index\.json|manifest\.json|blobs/sha256/[0-9a-f]{64}")
"""All that an image has; nothing else is written."""


def check_place(place: str, folder: bool, what: str = "the image", send_on: str = "docker load") -> None:
    """Raises UserError for a place that `what` cannot be written to, before it is made."""
    if place == STDOUT:
        if folder:
            raise UserError("cannot write a folder to standard output", "name a file that ends in .tar, or a folder")
        if sys.stdout.isatty():
            raise UserError(f"cannot write {what} to a terminal", f"send it on: … | {send_on}")
        return
    path = Path(place)
    if folder and path.is_dir() and any(path.iterdir()):
        raise UserError(f"cannot write {what} to {place}: the folder is not empty", "remove it, or name another")
    if path.is_dir() != (folder and path.exists()):
        raise UserError(f"cannot write {what} to {place}: it is {'a' if path.is_dir() else 'no'} folder")
    if not path.absolute().parent.is_dir():
        raise UserError(f"cannot write {what} to {place}: {path.absolute().parent} is not there", "make it first")
    new = folder or path.is_file() or not path.exists()  # beside what is there: devices and pipes are written to
    if not os.access(path.absolute().parent if new else path, os.W_OK):
        raise UserError(f"cannot write {what} to {place}: permission denied", "name a place that you may write to")


def write_image(pieces: Iterator[bytes], place: str, folder: bool, what: str = "the image", mode: int = 0o666) -> None:
    """`mode`: of a new file, but for the umask. Raises WorldError when the disk refuses."""
    if place == STDOUT:
        for piece in pieces:
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
        return
    path = Path(place).absolute()
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):  # a device or a pipe: it must stay what it is
            with path.open("wb") as file:
                file.writelines(pieces)
        elif folder:
            _write_folder(pieces, path)
        else:
            _write_file(pieces, path, mode)
    except OSError as error:
        raise WorldError(f"cannot write {what} to {place}: {error.strerror}", "make room, or name another") from error


def _write_folder(pieces: Iterator[bytes], path: Path) -> None:
    staged = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}-"))
    try:
        _unpack(pieces, staged / "new")
        if path.is_dir():
            path.rmdir()
        (staged / "new").rename(path)
        outputs.mark(path)
    finally:
        shutil.rmtree(staged)


def _write_file(pieces: Iterator[bytes], path: Path, mode: int) -> None:
    """In the end it has the name `path`. Whoever is killed meanwhile leaves nothing, where the file system allows."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with _nameless(path, mode) as file:
            _fill(pieces, file)
            outputs.mark(file.fileno())
            if os.fstat(file.fileno()).st_nlink == 0:
                name = f".{path.name}-{os.getpid()}"
                os.link(f"/proc/self/fd/{file.fileno()}", name, src_dir_fd=folder, dst_dir_fd=folder)
                os.replace(name, path.name, src_dir_fd=folder, dst_dir_fd=folder)
    finally:
        os.close(folder)


@contextmanager
def _nameless(path: Path, mode: int) -> Iterator[BinaryIO]:
    """A new file in the folder of `path`; where it must have a name, it gets that of `path` once it was written."""
    try:
        descriptor = os.open(path.parent, os.O_TMPFILE | os.O_WRONLY, mode)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
            raise
    else:
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            yield file
        return
    staged = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}-"))
    try:
        with os.fdopen(os.open(staged / "new", os.O_WRONLY | os.O_CREAT, mode), "wb", buffering=0) as file:
            yield file
        (staged / "new").rename(path)
    finally:
        shutil.rmtree(staged)


def _fill(pieces: Iterator[bytes], file: BinaryIO) -> None:
    """Sparse where there is nothing but zeros."""
    for piece in pieces:
        if piece == bytes(len(piece)):
            file.seek(len(piece), os.SEEK_CUR)
            continue
        view = memoryview(piece)
        while view:
            view = view[file.write(view) :]
    file.truncate(file.tell())
    os.fsync(file.fileno())


def _unpack(pieces: Iterator[bytes], folder: Path) -> None:
    (folder / "blobs/sha256").mkdir(parents=True)
    with tarfile.open(fileobj=_Reader(pieces), mode="r|") as archive:
        for member in archive:
            content = archive.extractfile(member)
            if content is None or not _MEMBER.fullmatch(member.name):
                raise WorldError(f"cannot understand the daemon's answer: {member.name!r} is in it")
            with content, (folder / member.name).open("xb") as file:
                shutil.copyfileobj(content, file)
    for _ in pieces:  # what fills up the last block counts too, however it came
        pass


class _Reader(io.RawIOBase):
    """The pieces as a file."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        while not self._rest:
            try:
                self._rest = next(self._pieces)
            except StopIteration:
                return b""
        piece, self._rest = self._rest[:size], self._rest[size:]
        return piece
