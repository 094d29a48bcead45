"""Folders of files on disk: written, sealed (read-only, readable by every user), measured, removed.

Every function takes a folder that only this daemon writes to; none follows a link.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

FEW = 16
_libc = ctypes.CDLL(None, use_errno=True)


def walk(root: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Everything below `root`, folders before what is in them. Links are not followed."""
    pending = [os.fspath(root)]
    while pending:
        with os.scandir(pending.pop()) as found:
            entries = list(found)
        for entry in entries:
            status = entry.stat(follow_symlinks=False)
            yield Path(entry.path), status
            if stat.S_ISDIR(status.st_mode):
                pending.append(entry.path)


def size_of(root: Path) -> int:
    """Bytes on disk; a file with several links counts once. What cannot be read counts nothing."""
    seen: set[int] = set()
    total = 0
    pending = [os.fspath(root)]
    while pending:
        try:
            with os.scandir(pending.pop()) as found:
                for entry in found:
                    status = entry.stat(follow_symlinks=False)
                    if stat.S_ISDIR(status.st_mode):
                        pending.append(entry.path)
                    if status.st_ino not in seen:
                        seen.add(status.st_ino)
                        total += status.st_blocks * 512
        except OSError:  # gone, not ours to read, or nested deeper than a path can say
            continue
    return total


def seal(root: Path, owner: tuple[int, int] | None = None) -> None:
    """Make a tree read-only and readable by all: folders and executables 0555, other files 0444.

    `owner` (uid, gid) is set when given (the daemon is root). Files that are sealed already (they are linked from
    another tree) are left as they are. Services run as other users, hence world-readable.
    """
    for path, status in walk(root):
        _seal_one(path, status, owner)
    _seal_one(root, root.lstat(), owner)


def _seal_one(path: Path, status: os.stat_result, owner: tuple[int, int] | None) -> None:
    if owner is not None and (status.st_uid, status.st_gid) != owner:
        os.chown(path, *owner, follow_symlinks=False)
    if stat.S_ISLNK(status.st_mode):
        return
    runs = stat.S_ISDIR(status.st_mode) or status.st_mode & 0o100
    mode = 0o555 if runs else 0o444
    if stat.S_IMODE(status.st_mode) != mode:
        path.chmod(mode)


def copy(source: Path, target: Path, link: bool) -> None:
    """Copy the tree `source` to `target` (must not be there). With `link`, files become hard links to the originals.

    Linked files stay sealed and owned by the daemon: a build can replace them, not change them. Folders are new, 0755.
    """
    target.mkdir(parents=True)
    for path, status in walk(source):
        place = target / path.relative_to(source)
        if stat.S_ISDIR(status.st_mode):
            place.mkdir()
        elif stat.S_ISLNK(status.st_mode):
            place.symlink_to(path.readlink())
        elif not (link and linked(path, place)):
            shutil.copyfile(path, place)
            place.chmod(0o755 if status.st_mode & 0o100 else 0o644)


def linked(source: Path, place: Path) -> bool:
    """Make `place` a hard link to `source`; False where that has as many as the file system allows (ext4: 65,000)."""
    try:
        os.link(source, place)
    except OSError as error:
        if error.errno != errno.EMLINK:
            raise
        return False
    return True


def give(root: Path, uid: int, gid: int) -> None:
    """Hand a tree to a build's user, except files linked from sealed trees."""
    os.chown(root, uid, gid, follow_symlinks=False)
    for path, status in walk(root):
        if stat.S_ISDIR(status.st_mode) or status.st_nlink == 1:
            os.chown(path, uid, gid, follow_symlinks=False)


def folder_in(root: Path, name: str) -> Path | None:
    """The folder `name` below `root`, if it is one all the way: a build may have laid links where folders should be."""
    place = root
    for part in name.split("/"):
        place /= part
        if place.is_symlink() or not place.is_dir():
            return None
    return place


def remove(root: Path) -> int:
    """Remove a tree, sealed or not; gives the bytes it took. A tree that is not there is fine; a link goes alone."""
    if root.is_symlink():
        root.unlink()
        return 0
    if not root.exists():
        return 0
    freed = size_of(root)
    if os.geteuid() != 0:
        subprocess.run(["/bin/chmod", "-R", "u+rwX", "--", root], check=True, capture_output=True)
    # Programs that go by descriptors, because a hostile build can nest folders deeper than a path can be long.
    subprocess.run(["/bin/rm", "-rf", "--", root], check=True, capture_output=True)
    return freed


def sync(root: Path) -> None:
    """Make a tree survive a power cut. Files linked from elsewhere were synced there."""
    folders, files = [root], []
    for path, status in walk(root):
        if stat.S_ISDIR(status.st_mode):
            folders.append(path)
        elif stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
            files.append(path)
    flush([*files, *reversed(folders)])


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut."""
    flush([folder])


def sync_file_system(folder: Path) -> None:
    """Make all that was written on the disk of `folder` survive a power cut (syncfs(2))."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        if _libc.syncfs(handle) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), os.fspath(folder))
    finally:
        os.close(handle)


def flush(paths: Sequence[Path]) -> None:
    """Write files and folders of one file system to its disk; beyond a few, all of it at once is quicker than each."""
    if len(paths) > FEW:
        return sync_file_system(paths[-1])
    for path in paths:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def unlink(path: Path) -> int:
    """Gives the bytes freed; what is not there is fine."""
    try:
        size = path.stat().st_size
        path.unlink()
    except FileNotFoundError:
        return 0
    return size
