"""One layer's blob -> a folder that overlayfs can use: verified, bounded, and with nothing that reaches outside."""

from __future__ import annotations

import hashlib
import subprocess
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from fourfold.build.oci.names import RefusedError, parts_of, place_of
from fourfold.build.oci.rootfs import Attributes, Rootfs
from fourfold.build.oci.tar import CHUNK, Entry, MalformedError, Reader, Stream
from fourfold.errors import UserError, WorldError

ZSTD = "zstd"
LONGEST_TARGET = 4095
_EMPTY_MEMBERS = 1000


@dataclass
class UnpackLimits:
    """What one image may still take: each layer that is unpacked takes its part off."""

    size: int = 16 * 1024**3
    """Bytes of the uncompressed tars."""
    entries: int = 1_000_000


@dataclass(frozen=True)
class Blob:
    """A layer as it is transported."""

    path: Path
    digest: str
    """SHA-256 in hex of the file."""
    diff_id: str
    """SHA-256 in hex of the tar in it."""
    name: str
    """For messages: `layer 2 of docker://alpine:3`."""


def unpack(
    blob: Blob, root: Path, limits: UnpackLimits | None = None, stopped: Callable[[], bool] = lambda: False
) -> int:
    """Make the new folder `root` from the layer; the bytes of its files. Whoever calls removes `root` after an error.

    Raises UserError naming the entry for what is hostile, too large or not as its digests say, WorldError when the disk
    or zstd fails, and InterruptedError once `stopped()` is true.
    """
    limits = limits or UnpackLimits()
    try:
        _verify(blob)
        with decompressed(blob.path, blob.name) as raw, Rootfs(root, limits.entries) as rootfs:
            stream = _Counted(raw, limits, stopped)
            size = _Layer(rootfs, limits).take(Reader(stream))
            limits.entries = max(0, limits.entries - rootfs.made)
            rootfs.finish()
            while stream.read(CHUNK):  # what follows the end of the archive belongs to its digest
                pass
    except (RefusedError, MalformedError, EOFError, zlib.error) as error:
        raise UserError(f"cannot unpack {blob.name}: {error}", "use another image, or build this one anew") from error
    except InterruptedError:
        raise
    except OSError as error:
        raise WorldError(f"cannot unpack {blob.name}: {error.strerror or error}", "see `df`") from error
    if stream.digest.hexdigest() != blob.diff_id:
        raise UserError(
            f"cannot use {blob.name}: its content has the SHA-256 {stream.digest.hexdigest()[:12]}…, the image says "
            f"{blob.diff_id[:12]}…",
            "pull or build the image again",
        )
    return size


class _Counted:
    """A stream with its digest, which is read no further than `limits` allow."""

    def __init__(self, stream: Stream, limits: UnpackLimits, stopped: Callable[[], bool]) -> None:
        self._stream = stream
        self._limits = limits
        self._most = limits.size
        self._stopped = stopped
        self.digest = hashlib.sha256()

    def read(self, size: int) -> bytes:
        if self._stopped():
            raise InterruptedError
        piece = self._stream.read(size)
        self._limits.size -= len(piece)
        if self._limits.size < 0:
            raise RefusedError(f"it holds more than {self._most // 1024**2:,} MiB, which its image has left")
        self.digest.update(piece)
        return piece


class _Layer:
    """Takes the entries one after the other into a Rootfs."""

    def __init__(self, rootfs: Rootfs, limits: UnpackLimits) -> None:
        self._rootfs = rootfs
        self._limits = limits
        self._most = limits.entries

    def take(self, reader: Reader) -> int:
        size = 0
        for entry in reader:
            self._limits.entries -= 1
            if self._limits.entries < 0:
                raise RefusedError(f"it has more than {self._most:,} entries, which its image has left")
            try:
                self._put(entry, reader.read())
            except (RefusedError, UnicodeEncodeError) as error:
                raise RefusedError(f"the entry {entry.name[:200]!r}: {error}") from error
            size += entry.size
        return size

    def _put(self, entry: Entry, content: Iterator[bytes]) -> None:
        place = place_of(entry.name)
        attributes = Attributes(entry.mode, entry.uid, entry.gid, entry.mtime, entry.xattrs)
        if place.kind == "opaque":
            self._rootfs.opaque(place.parents)
        elif place.kind == "whiteout":
            self._rootfs.whiteout(place.parents, place.name)
        elif place.kind == "ignored":
            return
        elif entry.kind == "folder":
            self._rootfs.folder(place.parents, place.name, attributes)
        elif entry.kind == "file":
            self._rootfs.file(place.parents, place.name, attributes, content)
        elif entry.kind == "symlink":
            self._rootfs.symlink(place.parents, place.name, attributes, _target(entry.target))
        elif entry.kind == "hardlink":
            self._rootfs.hardlink(place.parents, place.name, _inside(entry.target))
        elif place.parents[:1] == ("dev",):
            return  # as `docker import` takes them of a whole system: whatever runs an image has a /dev of its own
        else:
            raise RefusedError(f"it is a {entry.kind}, which an image must not bring")


def _target(text: str) -> str:
    if not text or "\0" in text or len(text.encode(errors="surrogateescape")) > LONGEST_TARGET:
        raise RefusedError("it is a link whose target is empty, malformed or too long")
    return text


def _inside(target: str) -> tuple[str, ...]:
    try:
        return parts_of(target)
    except RefusedError as error:
        raise RefusedError(f"it is a hard link to {target[:200]!r}: {error}") from None


def _verify(blob: Blob) -> None:
    with blob.path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != blob.digest:
        raise UserError(
            f"cannot use {blob.name}: its SHA-256 is {found[:12]}…, the manifest says {blob.digest[:12]}…",
            "pull or build the image again",
        )


@contextmanager
def decompressed(path: Path, name: str) -> Iterator[Stream]:
    """What is in the file, `name` for messages: by its first bytes, as media types are not always right."""
    with path.open("rb", buffering=0) as file:  # zstd reads from where the kernel says that we are
        head = file.read(4)
        file.seek(0)
        if head[:2] == b"\x1f\x8b":
            yield _Gunzip(file)
        elif head == b"\x28\xb5\x2f\xfd":
            with _zstd(file, name) as stream:
                yield stream
        else:
            yield file


class _Gunzip:
    """Members one after the other (RFC 1952, 2.2), never more in memory than was asked for."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._member = zlib.decompressobj(31)
        self._waiting = b""
        self._empty = 0

    def read(self, size: int) -> bytes:
        while True:
            if self._member.eof:
                self._empty += 1
                if self._empty > _EMPTY_MEMBERS:
                    raise MalformedError(f"its gzip stream has more than {_EMPTY_MEMBERS:,} empty members in a row")
                rest = self._member.unused_data or self._file.read(CHUNK)
                if not rest.strip(b"\0"):  # the end, or padding
                    return b""
                self._member, self._waiting = zlib.decompressobj(31), rest
            chunk = self._waiting or self._file.read(CHUNK)
            piece = self._member.decompress(chunk, size)
            self._waiting = self._member.unconsumed_tail
            if piece:
                self._empty = 0
                return piece
            if not chunk and not self._member.eof:
                raise EOFError("its gzip stream breaks off")


@contextmanager
def _zstd(file: IO[bytes], name: str) -> Iterator[Stream]:
    try:
        process: subprocess.Popen[Any] = subprocess.Popen(
            [ZSTD, "-dcq"], stdin=file, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
    except FileNotFoundError:
        raise UserError(
            f"cannot unpack {name}: it is compressed with zstd, and that program is not installed",
            "apt-get install zstd",
        ) from None
    assert process.stdout is not None and process.stderr is not None
    with process:
        try:
            yield process.stdout
            if process.stdout.read(1) == b"" and process.wait() != 0:
                said = process.stderr.read(200).decode(errors="replace").strip()
                raise MalformedError(f"zstd cannot decompress it: {said}")
        finally:
            process.kill()
