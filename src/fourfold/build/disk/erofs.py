"""Read-only disks, by mkfs.erofs(1): the same bytes for the same content, wherever and whenever they are made."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fourfold.build.oci.pack import TIME
from fourfold.errors import UserError, WorldError
from fourfold.paths import Paths
from fourfold.store.files import trees
from fourfold.store.files.disks import Disks
from fourfold.store.files.staging import staging

MKFS = "/usr/bin/mkfs.erofs"
_UUID = "6f757266-6f6c-6400-0000-000000000000"
_LATER = 2**32
"""As the time of the disk itself: files that are older than that keep their own (`SOURCE_DATE_EPOCH`)."""
_SECONDS = 600
_NOT_MERGED = 64
"""Exit code of ours where the overlay could not be mounted."""


@dataclass(frozen=True)
class Form:
    """How a disk is written."""

    compressed: bool
    owned: bool = False
    """Owners, times and file capabilities stay; else all is root's, and of one time."""

    @property
    def options(self) -> list[str]:
        own = ["-x2"] if self.owned else ["-x-1", f"-T{TIME}"]
        # An ordinary user owns what root would in there.
        own += ["--all-root"] if not self.owned or os.geteuid() != 0 else []
        return [*(["-zlz4hc,9", "-C16384"] if self.compressed else []), *own]


BASE = Form(compressed=True, owned=True)
TREE = Form(compressed=False)
"""Of a service: made at each edit."""


class DiskMaker:
    """Blocking: for threads."""

    def __init__(self, paths: Paths, disks: Disks) -> None:
        self._work = paths.work
        self._disks = disks

    def tree(self, key: str, tree: Path, place: str = "app", links: Mapping[str, str] | None = None) -> None:
        """The sealed folder `tree` at `place` of a disk that has, besides it, links alone: path -> where it leads.

        Raises UserError and WorldError.
        """

        def fill(work: Path) -> Sequence[Path]:
            _link(tree, work / "root" / place)
            for path, target in (links or {}).items():
                (work / "root" / path).symlink_to(target)
            return [work / "root"]

        self._make(key, TREE, fill)

    def layers(self, key: str, layers: Sequence[Path], excluded: Iterable[str] = ()) -> None:
        """Unpacked layers, lowest first, as one disk, without the paths in `excluded`."""
        self._make(key, BASE, lambda work: layers, excluded)

    def files(self, key: str, files: Callable[[Path], None]) -> None:
        """What `files` writes into the folder that it gets."""

        def fill(work: Path) -> Sequence[Path]:
            (work / "root").mkdir()
            files(work / "root")
            return [work / "root"]

        self._make(key, BASE, fill)

    def _make(self, key: str, form: Form, fill: Callable[[Path], Sequence[Path]], excluded: Iterable[str] = ()) -> None:
        if self._disks.has(key):
            return
        require_erofs()
        with staging(self._work, "disk", "make the disk") as folder:
            (folder / "out").mkdir()
            layers = fill(folder)
            _run(_argv(form, folder / "out/new", layers, excluded, folder), form, folder)
            self._disks.publish(key, folder / "out/new")


def _argv(form: Form, target: Path, layers: Sequence[Path], excluded: Iterable[str], work: Path) -> list[str]:
    own = [MKFS, "--quiet", f"-U{_UUID}", *form.options, *(f"--exclude-path={name}" for name in excluded)]
    if len(layers) == 1:
        return [*own, str(target), str(layers[0])]
    # Merged by overlayfs itself, in a mount namespace that ends with it.
    below = []
    for number, layer in enumerate(reversed(layers)):
        (work / str(number)).symlink_to(layer)  # mount(8) takes no more than a page of options
        below.append(str(number))
    (work / "merged").mkdir()
    mount = f"mount -t overlay -o lowerdir={':'.join(below)} overlay merged || exit {_NOT_MERGED}"
    return ["/usr/bin/unshare", "--mount", "/bin/sh", "-c", f'{mount}; exec "$@"', "sh", *own, str(target), "merged"]


def _run(argv: Sequence[str], form: Form, work: Path) -> None:
    """In the folder `work`, which a command line need not spell."""
    env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
    if form.owned:
        env["SOURCE_DATE_EPOCH"] = str(_LATER)
    try:
        subprocess.run(
            argv, env=env, cwd=work, check=True, capture_output=True, text=True, errors="replace", timeout=_SECONDS
        )
    except subprocess.CalledProcessError as error:
        raise WorldError(f"cannot make the disk: {_why(error)}", "make room on the disk, see `df`") from error
    except subprocess.TimeoutExpired as error:
        raise WorldError(f"cannot make the disk: mkfs.erofs took more than {_SECONDS} s", "see `df`") from error


def _why(error: subprocess.CalledProcessError) -> str:
    said = (error.stderr + error.stdout).strip().rpartition("\n")[2]
    if error.returncode == _NOT_MERGED:
        return f"its layers cannot be laid on each other: {said}"
    return said.rpartition("] ")[2] or f"mkfs.erofs ended with {error.returncode}"


def require_erofs() -> None:
    """Raises UserError where it is not installed."""
    if not os.access(MKFS, os.X_OK):
        raise UserError("cannot make disks: mkfs.erofs is not installed", "apt-get install erofs-utils")


def tool_version() -> str:
    """`mkfs.erofs 1.5`: another one, also one that comes while the daemon runs, may write other bytes.

    Raises UserError where there is none.
    """
    require_erofs()
    done = subprocess.run([MKFS, "--version"], capture_output=True, text=True, timeout=_SECONDS)
    return (done.stdout + done.stderr).strip().partition("\n")[0]


def _link(tree: Path, target: Path) -> None:
    """`tree` hard-linked. What it has twice under one inode is copied: which files those are depends on how it was
    built, and would show on the disk."""
    above = [folder for folder in target.parents if not folder.exists()]
    target.mkdir(parents=True)
    seen: set[int] = set()
    folders = [target]
    for path, status in trees.walk(tree):
        place = target / path.relative_to(tree)
        if stat.S_ISLNK(status.st_mode):
            place.symlink_to(path.readlink())
        elif stat.S_ISDIR(status.st_mode):
            place.mkdir()
            folders.append(place)
        elif status.st_ino in seen or not trees.linked(path, place):
            shutil.copyfile(path, place)
            place.chmod(stat.S_IMODE(status.st_mode))
        seen.add(status.st_ino)
    for folder in folders:
        folder.chmod(0o555)
    for folder in above:
        folder.chmod(0o755)
