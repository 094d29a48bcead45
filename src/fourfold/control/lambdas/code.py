"""A function's zip: checked and kept as its source, and given back."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from dataclasses import dataclass
from functools import lru_cache
from tempfile import TemporaryFile

from fourfold.build.archive import DAMAGED, check_records
from fourfold.errors import NotFoundError, UserError
from fourfold.store.files.blobs import Blobs
from fourfold.store.files.sources import Sources
from fourfold.store.manifest import Entry, Manifest

ZIP = "function.zip"
MOST_ZIPPED = 52_428_800
MOST_UNZIPPED = 262_144_000
"""Bytes: Lambda quotas, "Deployment package (.zip file archive) size"."""
_EPOCH = (1980, 1, 1, 0, 0, 0)


class BadZipError(UserError):
    """`code` is AWS's name of it."""

    def __init__(self, code: str, what: str) -> None:
        super().__init__(what)
        self.code = code


@dataclass(frozen=True)
class Code:
    """What AWS tells of code."""

    sha256: str
    """base64"""
    size: int


def keep(content: bytes, sources: Sources, blobs: Blobs) -> str:
    """-> the digest of the source that is this very zip. Raises BadZipError."""
    check(content)
    digest = hashlib.sha256(content).hexdigest()
    if not blobs.has(digest):
        blobs.add(digest, [content])
    return sources.put(Manifest.of([Entry(ZIP, 0o644, len(content), digest)]))


def check(content: bytes) -> None:
    """What needs no unpacking; what is inside is judged when it is unpacked for the build."""
    if len(content) > MOST_ZIPPED:
        raise BadZipError("RequestEntityTooLargeException", f"Zipped size must be smaller than {MOST_ZIPPED} bytes")
    try:
        check_records(content)
        with zipfile.ZipFile(io.BytesIO(content)) as opened:
            total = sum(info.file_size for info in opened.infolist())
    except DAMAGED as error:
        raise BadZipError("InvalidParameterValueException", "Could not unzip uploaded file. Please check your file, "
                          "then try to upload again.") from error  # fmt: skip
    if total > MOST_UNZIPPED:
        raise BadZipError("InvalidParameterValueException", f"Unzipped size must be smaller than {MOST_UNZIPPED} bytes")


def describe(source: str, sources: Sources) -> Code:
    """Of a zip its own digest and size; of any other source those of its manifest and files."""
    try:
        return _described(source, sources)
    except NotFoundError:
        return Code(_encoded(source), 0)


@lru_cache(4096)
def _described(source: str, sources: Sources) -> Code:
    """A source never changes; its manifest may name many files."""
    manifest = sources.get(source)
    if (entry := _zip_of(manifest)) is not None:
        return Code(_encoded(entry.sha256), entry.size)
    return Code(_encoded(source), manifest.size)


def give(source: str, sources: Sources, blobs: Blobs) -> bytes:
    """The zip that was sent, or one made of a source's files: the same bytes for the same files. Blocks."""
    manifest = sources.get(source)
    if (entry := _zip_of(manifest)) is not None:
        return blobs.path(entry.sha256).read_bytes()
    with TemporaryFile() as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
            for entry in manifest.entries:
                info = zipfile.ZipInfo(entry.path, _EPOCH)
                info.create_system = 3
                info.compress_type = zipfile.ZIP_DEFLATED
                link = entry.link is not None
                info.external_attr = (0o120777 if link else 0o100000 | entry.mode) << 16
                made.writestr(info, (entry.link or "") if link else blobs.path(entry.sha256).read_bytes())
        file.seek(0)
        return file.read()


def _zip_of(manifest: Manifest) -> Entry | None:
    entries = manifest.entries
    return entries[0] if len(entries) == 1 and entries[0].path.lower().endswith(".zip") else None


def _encoded(digest: str) -> str:
    return base64.b64encode(bytes.fromhex(digest)).decode()
