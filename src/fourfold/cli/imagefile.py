"""An image that comes as a tar, written where the user says: as that file, or as the folder that is in it.

Written beside its place first and renamed at the end: what is there under its name is whole.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from fourfold.errors import UserError, WorldError

STDOUT = "-"
_MEMBER = re.compile(r"oci-layout|index\.json|manifest\.json|blobs/sha256/[0-9a-f]{64}")
"""All that an image has; nothing else is written."""


def check_place(place: str, folder: bool) -> None:
    """Raises UserError for a place that an image cannot be written to, before it is made."""
    if place == STDOUT:
        if folder:
            raise UserError("cannot write a folder to standard output", "name a file that ends in .tar, or a folder")
        if sys.stdout.isatty():
            raise UserError("cannot write an image to a terminal", "send it on: … | docker load")
        return
    path = Path(place)
    if folder and path.is_dir() and any(path.iterdir()):
        raise UserError(f"cannot write the image to {place}: the folder is not empty", "remove it, or name another")
    if path.is_dir() != (folder and path.exists()):
        raise UserError(f"cannot write the image to {place}: it is {'a' if path.is_dir() else 'no'} folder")
    if not path.absolute().parent.is_dir():
        raise UserError(f"cannot write the image to {place}: {path.absolute().parent} is not there", "make it first")


def write_image(pieces: Iterator[bytes], place: str, folder: bool) -> None:
    """Raises WorldError when the disk refuses."""
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
            return
        staged = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}-"))
        try:
            new = staged / "new"
            (_unpack if folder else _write)(pieces, new)
            if folder and path.is_dir():
                path.rmdir()
            new.rename(path)
        finally:
            shutil.rmtree(staged)
    except OSError as error:
        raise WorldError(
            f"cannot write the image to {place}: {error.strerror}", "make room, or name another"
        ) from error


def _write(pieces: Iterator[bytes], path: Path) -> None:
    with path.open("wb") as file:
        for piece in pieces:
            file.write(piece)
        file.flush()
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
