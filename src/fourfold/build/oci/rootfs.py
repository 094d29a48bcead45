"""Writing below a folder as root, where the names come from strangers: every step by descriptor, no link followed.

Each parent is opened by name in its own parent with O_NOFOLLOW, so that a link on the way is an error, never a way out.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType

from fourfold.build.oci.names import RefusedError

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
OPAQUE_XATTR = "trusted.overlay.opaque"
CAPABILITY = "security.capability"
"""What a file may do, setcap(8). No other attribute is taken over: overlayfs takes its orders from `trusted.`."""


class Attributes:
    """Owner, mode and time of an entry."""

    def __init__(self, mode: int, uid: int, gid: int, mtime: int, xattrs: Mapping[str, bytes]) -> None:
        self.mode, self.uid, self.gid, self.mtime = mode, uid, gid, mtime
        self.capability = xattrs.get(CAPABILITY)

    def set(self, handle: int) -> None:
        os.fchown(handle, self.uid, self.gid)
        os.fchmod(handle, self.mode)  # after the owner: changing that takes set-user-id bits away
        if self.capability is not None:
            os.setxattr(handle, CAPABILITY, self.capability)
        os.utime(handle, (self.mtime, self.mtime))


class Rootfs:
    """The new folder `root`, which only this object writes to. A context manager: it holds descriptors."""

    def __init__(self, root: Path, most: int) -> None:
        """`most`: folders that may be made on the way to what is in them."""
        root.mkdir(parents=True)
        self._root = os.open(root, _FOLDER)
        os.fchmod(self._root, 0o755)
        self._most = most
        self.made = 0
        """Folders on the way, so far."""
        self._last: tuple[tuple[str, ...], int] | None = None
        """The folder opened last: entries of a folder mostly follow each other."""
        self._folders: dict[tuple[str, ...], int] = {}
        """Times of folders, which are set at the end: whatever is made in one changes its own."""

    def __enter__(self) -> Rootfs:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._forget()
        os.close(self._root)

    def folder(self, parents: tuple[str, ...], name: str, attributes: Attributes) -> None:
        """A folder of that name may be there already. An empty name is the root itself."""
        if name:
            handle = self._parent(parents)
            status = _status(handle, name)
            if status is None or not stat.S_ISDIR(status.st_mode):
                self._clear(handle, name, status)
                os.mkdir(name, 0o700, dir_fd=handle)
            made = os.open(name, _FOLDER, dir_fd=handle)
        else:
            status, made = None, os.dup(self._root)
        try:
            attributes.set(made)
            if status is not None and _is_whiteout(status):
                os.setxattr(made, OPAQUE_XATTR, b"y")  # new here, and gone below
        finally:
            os.close(made)
        self._folders[(*parents, name) if name else ()] = attributes.mtime

    def file(self, parents: tuple[str, ...], name: str, attributes: Attributes, content: Iterable[bytes]) -> None:
        made = os.open(name, _NEW_FILE, 0o600, dir_fd=self._free(parents, name))
        try:
            for piece in content:
                _write(made, piece)
            attributes.set(made)
        finally:
            os.close(made)

    def symlink(self, parents: tuple[str, ...], name: str, attributes: Attributes, target: str) -> None:
        """Kept as data: where it leads is for whoever sees the layer as its root."""
        handle = self._free(parents, name)
        os.symlink(target, name, dir_fd=handle)
        os.chown(name, attributes.uid, attributes.gid, dir_fd=handle, follow_symlinks=False)
        os.utime(name, (attributes.mtime, attributes.mtime), dir_fd=handle, follow_symlinks=False)

    def hardlink(self, parents: tuple[str, ...], name: str, target: tuple[str, ...]) -> None:
        """To a file or link that this layer has already."""
        if not target or target == (*parents, name):
            raise RefusedError("it is a hard link to itself or to nothing")
        source = self._parent(target[:-1], make=False)
        status = _status(source, target[-1])
        if status is None or not (stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode)):
            raise RefusedError(f"it is a hard link to {'/'.join(target)!r}, which is no file of this layer")
        source = os.dup(source)
        try:
            handle = self._free(parents, name)
            os.link(target[-1], name, src_dir_fd=source, dst_dir_fd=handle, follow_symlinks=False)
        except FileNotFoundError:
            raise RefusedError("it is a hard link to what it replaces") from None
        finally:
            os.close(source)

    def whiteout(self, parents: tuple[str, ...], name: str) -> None:
        """Hides `name` of the layers below; what this layer itself has of that name stays."""
        handle = self._parent(parents)
        status = _status(handle, name)
        if status is None:
            os.mknod(name, stat.S_IFCHR | 0o644, os.makedev(0, 0), dir_fd=handle)
        elif stat.S_ISDIR(status.st_mode):
            self.opaque((*parents, name))

    def opaque(self, folder: tuple[str, ...]) -> None:
        os.setxattr(self._parent(folder), OPAQUE_XATTR, b"y")

    def finish(self) -> None:
        """Set the folders' own times; call it when all is written."""
        for folder, mtime in sorted(self._folders.items(), reverse=True):
            with contextlib.suppress(RefusedError):  # it was replaced later on
                os.utime(self._parent(folder, make=False), (mtime, mtime))

    def _free(self, parents: tuple[str, ...], name: str) -> int:
        """The folder to make `name` in; what had that name is gone."""
        if not name:
            raise RefusedError("it would replace the root")
        handle = self._parent(parents)
        self._clear(handle, name, _status(handle, name))
        return handle

    def _clear(self, handle: int, name: str, status: os.stat_result | None) -> None:
        if status is None:
            return
        if stat.S_ISDIR(status.st_mode):
            shutil.rmtree(name, dir_fd=handle)
        else:
            os.unlink(name, dir_fd=handle)

    def _parent(self, parts: tuple[str, ...], make: bool = True) -> int:
        """The folder's descriptor, which stays ours; missing folders on the way are made, as Docker does."""
        if self._last is not None and self._last[0] == parts and _is_linked(self._last[1]):
            return self._last[1]
        handle = os.dup(self._root)
        try:
            for part in parts:
                inner = self._enter(handle, part, make)
                os.close(handle)
                handle = inner
        except BaseException:
            os.close(handle)
            raise
        self._forget()
        self._last = (parts, handle)
        return handle

    def _enter(self, handle: int, name: str, make: bool) -> int:
        enter: Callable[[], int] = lambda: os.open(name, _FOLDER, dir_fd=handle)  # noqa: E731
        try:
            return enter()
        except FileNotFoundError:
            if not make:
                raise RefusedError(f"{name!r} on its way is not in this layer") from None
        except OSError as error:
            if error.errno not in (errno.ENOTDIR, errno.ELOOP):
                raise
            raise RefusedError(f"{name!r} on its way is a link or a file, not a folder") from None
        if self.made >= self._most:
            raise RefusedError("there are too many folders on the way to the entries")
        self.made += 1
        os.mkdir(name, dir_fd=handle)
        made = enter()
        os.fchmod(made, 0o755)
        return made

    def _forget(self) -> None:
        if self._last is not None:
            os.close(self._last[1])
            self._last = None


def _status(handle: int, name: str) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=handle, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _is_whiteout(status: os.stat_result) -> bool:
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def _is_linked(handle: int) -> bool:
    """False for a folder that was removed since."""
    return os.fstat(handle).st_nlink > 0


def _write(handle: int, piece: bytes) -> None:
    view = memoryview(piece)
    while view:
        view = view[os.write(handle, view) :]
