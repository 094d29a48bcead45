"""Tar archives for tests, made entry by entry: also such as no program makes."""

from __future__ import annotations

import gzip
import hashlib
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from fourfold.build.oci.unpack import Blob

FILE, FOLDER, SYMLINK, HARDLINK = tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE


def entry(
    name: str, kind: bytes = FILE, content: bytes = b"", *, link: str = "", mode: int = 0o644, uid: int = 0,
    mtime: int = 1000, pax: dict[str, str] | None = None, size: int | None = None,
) -> tuple[tarfile.TarInfo, bytes]:  # fmt: skip
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode, info.uid, info.gid, info.mtime = kind, link, mode, uid, uid, mtime
    info.size = len(content) if size is None else size
    info.pax_headers = pax or {}
    return info, content


def folder(name: str, mode: int = 0o755) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, FOLDER, mode=mode)


def symlink(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, SYMLINK, link=target)


def hardlink(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, HARDLINK, link=target)


def tar(entries: Sequence[tuple[tarfile.TarInfo, bytes]], format: Literal[0, 1, 2] = tarfile.PAX_FORMAT) -> bytes:
    parts = [
        info.tobuf(format, "utf-8", "surrogateescape") + content + bytes(-len(content) % 512)
        for info, content in entries
    ]
    return b"".join(parts) + bytes(1024)


def layer(folder: Path, content: bytes, compressed: bytes | None = None, name: str = "layer 1 of x") -> Blob:
    """The blob of an uncompressed tar; gzip unless `compressed` is given."""
    packed = gzip.compress(content, 1) if compressed is None else compressed
    path = folder / hashlib.sha256(packed).hexdigest()
    path.write_bytes(packed)
    return Blob(path, path.name, hashlib.sha256(content).hexdigest(), name)
