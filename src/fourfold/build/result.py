"""The last look at what a build made, before it becomes an artifact: bounded, and with nothing that reaches outside."""

from __future__ import annotations

import os
import posixpath
import shutil
import stat
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path, PurePosixPath

from fourfold.build.model import APP, BuildPlan, Runtime
from fourfold.errors import WorldError
from fourfold.store.files import trees

_SYSTEM = ("/usr/", "/bin/", "/lib/", "/lib64/", "/etc/alternatives/", "/dev/null/")
"""Where an absolute link may lead: what every instance sees of the host read-only (an interpreter, say)."""


def prepare(tree: Path, plan: BuildPlan) -> None:
    """What the steps find in a work tree beside the source and its dependencies."""
    write_files(tree, plan.shims)
    _write_links(tree, plan.links)


def finish(tree: Path, plan: BuildPlan) -> None:
    """Apply the plan's additions and removals to a work tree."""
    for name in plan.drop:
        if (folder := trees.folder_in(tree, name)) is not None:
            trees.remove(folder)
    write_files(tree, plan.files)
    _write_links(tree, plan.links)
    for name in plan.executable:
        _make_executable(tree / name)


def write_files(tree: Path, files: Mapping[str, str]) -> None:
    """Text files by their place in the tree; executable if they start with `#!`."""
    for name, text in files.items():
        place = _clear(tree, name)
        place.write_text(text)
        place.chmod(0o755 if text.startswith("#!") else 0o644)


def _write_links(tree: Path, links: Mapping[str, str]) -> None:
    for name, target in links.items():
        _clear(tree, name).symlink_to(target)


def _make_executable(path: Path) -> None:
    """On a copy: the file may be a hard link to the store's own."""
    copy = path.with_name(path.name + ".new")
    shutil.copyfile(path, copy)
    copy.chmod(0o755)
    copy.replace(path)


def check(tree: Path, limit: int, runtime: Runtime | None) -> int:
    """Bytes of the tree. Raises WorldError for links out, devices, sockets, and more than `limit` bytes.

    Links to the programs of `runtime` are none out: without root it may be anywhere on this user's PATH.
    Set-user-id bits are taken away by sealing (no mode but 0555 and 0444 is left), and named here all the same.
    """
    total = 0
    programs = {str(path.parent) for path in (Path(runtime.path), Path(runtime.path).resolve())} if runtime else ()
    try:
        for path, status in trees.walk(tree):
            total += status.st_size
            name = path.relative_to(tree)
            if stat.S_ISLNK(status.st_mode):
                if not link_stays(name.as_posix(), os.fsdecode(path.readlink()), programs):
                    raise WorldError(f"cannot use what was built: the link {name} points out, to {path.readlink()}")
            elif not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
                raise WorldError(
                    f"cannot use what was built: {name} is a device, socket or pipe", "remove it in `build`"
                )
            elif stat.S_ISREG(status.st_mode) and status.st_mode & (stat.S_ISUID | stat.S_ISGID):
                raise WorldError(f"cannot use what was built: {name} is set-user-id or set-group-id")
    except OSError as error:
        raise WorldError(f"cannot use what was built: {error.strerror} ({error.filename})") from error
    if total > limit:
        raise WorldError(
            f"cannot use what was built: it has {total // 1024**2:,} MiB, the limit is {limit // 1024**2:,} MiB",
            f"remove what running does not need in `build`; the largest folders: {largest(tree)}",
        )
    return total


def link_stays(name: str, target: str, programs: Collection[str] = ()) -> bool:
    """Whether a link's target, read where the tree is at /app, is in the tree, of the system, or in one of `programs`.

    `..` may stand at the front of a relative target only, where the folders above are real ones: behind the name of a
    link it would start from wherever that leads.
    """
    parts = [part for part in target.split("/") if part not in ("", ".")]
    ups = next((index for index, part in enumerate(parts) if part != ".."), len(parts))
    if ".." in parts[ups:]:
        return False
    if target.startswith("/"):
        place = "/" + "/".join(parts)
        return not ups and (f"{place}/".startswith((f"{APP}/", *_SYSTEM)) or posixpath.dirname(place) in programs)
    return ups < len(PurePosixPath(name).parts)


def largest(tree: Path, count: int = 3) -> str:
    sizes = {path.name: trees.size_of(path) for path in tree.iterdir() if path.is_dir() and not path.is_symlink()}
    top = sorted(sizes, key=lambda name: -sizes[name])[:count]
    return ", ".join(f"{name} ({sizes[name] // 1024**2:,} MiB)" for name in top) or "none"


def jars(tree: Path, folders: tuple[str, ...]) -> Iterator[Path]:
    """JARs that a build may have made, likeliest folder first; not the sources, docs and unshaded ones beside them."""
    for folder in folders:
        place = trees.folder_in(tree, folder) if folder else tree
        if place is not None:
            for path in sorted(place.glob("*.jar")):
                if (
                    path.is_file()
                    and not path.is_symlink()
                    and not path.stem.endswith(("-sources", "-javadoc", "-tests"))
                    and not path.stem.startswith("original-")
                ):
                    yield path


def _clear(tree: Path, name: str) -> Path:
    """A place to write `name`, following no link that a source or build may have laid on the way."""
    place = tree
    for part in PurePosixPath(name).parts[:-1]:
        place /= part
        if place.is_symlink() or (place.exists() and not place.is_dir()):
            place.unlink()
        place.mkdir(exist_ok=True)
    place /= PurePosixPath(name).name
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)
    return place
