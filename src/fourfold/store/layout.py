"""The folders of one Fourfold, made with the right modes and refused when they are somebody else's.

As root, services run under uids of their own. Folders that hold something for them can be traversed (0711) but not
listed; all others are the daemon's alone (0700).
"""

from __future__ import annotations

import logging
import os
import stat
import subprocess
import uuid
from pathlib import Path

from fourfold.errors import FourfoldError, UserError, WorldError
from fourfold.paths import LONGEST_SOCKET, Paths
from fourfold.store.files import trees

OURS = 0o700
TRAVERSED = 0o711
_AWAY = "removed-"
_log = logging.getLogger(__name__)
ELSEWHERE = "set FOURFOLD_HOME to a folder of your own"


def create(paths: Paths, root: bool) -> None:
    """Make all folders; those that are there get their mode again, except the one of the configuration.

    Raises UserError for a folder that belongs to another user or is none, or has too long a path for a socket in it,
    WorldError when the disk refuses.
    """
    if len(os.fsencode(paths.socket)) > LONGEST_SOCKET:
        may = f"longer than the {LONGEST_SOCKET} bytes that a Unix socket's path may have"
        raise UserError(
            f"cannot listen on {paths.socket}: {may}",
            "set FOURFOLD_HOME to a folder with a shorter path",
        )
    shared = TRAVERSED if root else OURS
    try:
        for folder, mode in _modes(paths, shared).items():
            _make(folder, shared)
            _set_mode(folder, mode)
        _make(paths.config, shared)
    except OSError as error:
        raise _refused(error) from error


def missing(paths: Paths) -> list[Path]:
    """Those that `create` makes and somebody has removed; not a link to a disk that is away for now."""
    return [folder for folder in _modes(paths, OURS) if not os.path.lexists(folder)]


def _modes(paths: Paths, shared: int) -> dict[Path, int]:
    return {
        paths.state: shared,
        paths.blobs: OURS,
        paths.sources: OURS,
        paths.artifacts: shared,
        paths.bakery: OURS,
        paths.images: OURS,
        paths.caches: shared,
        paths.volumes: shared,
        paths.logs: OURS,
        paths.certificates: OURS,
        paths.work: shared,
        paths.run: shared,
        paths.gateway: shared,
        paths.functions: OURS,
        paths.usage: OURS,
        paths.hosts: shared,
    }


def holder(paths: Paths) -> tuple[str, str]:
    """Pid and socket of the daemon that has the lock, or had it last. OSError."""
    pid, _, socket = paths.daemon_lock.read_text().strip().partition("\n")
    return pid or "unknown", socket or str(paths.socket)


def empty_work(paths: Paths) -> None:
    """Remove what a daemon that died left half made.

    Each is renamed first: whoever still writes to it finds it no more. What cannot be removed is told in the log and
    tried again at the next start, for it keeps nobody from working.
    """
    for entry in list(paths.work.iterdir()):
        try:
            away = entry if entry.name.startswith(_AWAY) else entry.rename(paths.work / f"{_AWAY}{uuid.uuid4().hex}")
            if away.is_dir() and not away.is_symlink():
                trees.remove(away)
            else:
                away.unlink()
        except (OSError, subprocess.CalledProcessError) as error:
            _log.warning("cannot remove %s, left by the daemon before: %s", entry, error)


def _make(folder: Path, mode: int) -> None:
    for missing in reversed([parent for parent in folder.parents if not parent.exists()]):
        missing.mkdir()
        _set_mode(missing, mode)
    try:
        folder.mkdir()
    except FileExistsError:
        _require_ours(folder)
    else:
        _set_mode(folder, mode)


def _require_ours(folder: Path) -> None:
    if not folder.is_dir():
        raise UserError(f"cannot use {folder}: it is not a folder", f"move it away, or {ELSEWHERE}")
    for found in (folder.lstat(), folder.stat()):  # a link to a larger disk is fine when both ends are ours
        if found.st_uid != os.geteuid():
            raise UserError(
                f"cannot use {folder}: it belongs to user {found.st_uid}, and this is user {os.geteuid()}",
                f"run as that user, or {ELSEWHERE}",
            )


def _set_mode(folder: Path, mode: int) -> None:
    if stat.S_IMODE(folder.stat().st_mode) != mode:
        folder.chmod(mode)


def _refused(error: OSError) -> FourfoldError:
    kind = UserError if isinstance(error, PermissionError | NotADirectoryError) else WorldError
    return kind(f"cannot make the folder {error.filename}: {error.strerror}", f"see to its parent, or {ELSEWHERE}")
