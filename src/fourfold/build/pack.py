"""A source as it is sent: its manifest, and where on this machine each content is. Runs on the client.

Links inside the source stay links; links out of it, sockets, pipes, devices, unreadable files and names that are not
UTF-8 are refused by name, all at once, since leaving them out silently would deploy something else than what was
looked at.

As with tar(1), what the command itself is writing is no part of it, nor is an image that `build` has written there
before, unless a rule brings it back: the next image would hold the last one. Those are told by name.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fourfold.build import outputs
from fourfold.build.hashcache import HashCache, cache_folder
from fourfold.build.ignore import ALWAYS, OWN_FILES, Ignore
from fourfold.errors import NotFoundError, UserError, together
from fourfold.store.manifest import MAX_BYTES, MAX_FILES, Entry, Manifest, check_link

_MIB = 1024 * 1024


@dataclass(frozen=True)
class Limits:
    size: int = MAX_BYTES
    files: int = MAX_FILES


@dataclass(frozen=True)
class Packed:
    manifest: Manifest
    files: Mapping[str, Path]
    """Digest -> a file with that content, for those that the daemon is still missing."""
    left_out: tuple[str, ...] = ()
    """What is there and no part of it, as the command or one before it has written it."""


def pack(
    source: Path,
    *,
    exclude: Collection[Path] = (),
    writes: Collection[Path] = (),
    limits: Limits | None = None,
    environ: Mapping[str, str] | None = None,
) -> Packed:
    """Read a folder or a single file (.jar, .war, .zip, executable).

    `exclude`: files that are never part of it, such as a service file of another name than fourfold.yaml. `writes`:
    those that the command is about to write. `environ` says where hashes are remembered (`hashcache.cache_folder`).
    Raises UserError, before anything was sent.
    """
    place = Path(os.path.abspath(source))  # noqa: PTH100 - resolve() would follow the links that names go through
    try:
        status = place.stat()
    except OSError as error:
        raise NotFoundError(f"cannot pack {source}: {error.strerror}", "look at `source` in the service file") from None
    remembered = cache_folder(os.environ if environ is None else environ)
    cache = HashCache(remembered, place)
    left_out = [*exclude, remembered] if remembered else exclude
    walk = _Walk(place, cache, frozenset(map(os.path.abspath, left_out)), frozenset(_seen_from(place, writes)))
    if stat.S_ISDIR(status.st_mode):
        walk.folder(str(place), "", Ignore.at_top(place))
    elif stat.S_ISREG(status.st_mode):
        walk.file(str(place), place.name, status)
    else:
        raise UserError(f"cannot pack {source}: it is neither a folder nor a file", "look at `source`")
    if walk.refused:
        raise together(sorted(walk.refused, key=lambda each: each.what))
    _check_limits(source, walk, limits or Limits())
    manifest = walk.manifest()
    cache.save()
    return Packed(manifest, _Files(walk.paths), tuple(sorted(walk.left_out)))


def _seen_from(root: Path, paths: Collection[Path]) -> Iterator[str]:
    """Those below `root`, whichever links lead there, as the walk comes upon them."""
    real = os.path.realpath(root)
    for path in paths:
        place = os.path.join(os.path.realpath(path.parent), path.name)  # noqa: PTH118
        if place.startswith(f"{real}/"):
            yield f"{root}{place.removeprefix(real)}"


class _Files(Mapping[str, Path]):
    """Paths are made when asked for: most are never, since the daemon has the content already."""

    def __init__(self, paths: dict[str, str]) -> None:
        self._paths = paths

    def __getitem__(self, digest: str) -> Path:
        return Path(self._paths[digest])

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)


@dataclass
class _Walk:
    root: Path
    cache: HashCache
    exclude: frozenset[str]
    writes: frozenset[str] = frozenset()
    found: list[tuple[str, str, os.stat_result]] = field(default_factory=list)
    links: list[Entry] = field(default_factory=list)
    paths: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    refused: list[UserError] = field(default_factory=list)

    def folder(self, folder: str, path: str, ignore: Ignore) -> None:
        """`path` is the folder's place below the source's top, with a slash at the end; empty for the top."""
        try:
            with os.scandir(folder) as listed:
                entries = list(listed)
        except OSError as error:
            raise _unreadable(folder, error) from None
        names = {entry.name for entry in entries}
        if outputs.LAYOUT in names and path and self._is_image(folder, path[:-1], Path(folder).stat(), ignore):
            return
        rules = ignore.enter(folder, path) if ".gitignore" in names else ignore
        for entry in entries:
            if entry.name in ALWAYS or (not path and OWN_FILES.fullmatch(entry.name)):
                continue
            name = path + entry.name
            if entry.path in self.exclude:
                continue
            try:
                self._entry(entry, name, rules)
            except UserError as error:
                self.refused.append(error)

    def _entry(self, entry: os.DirEntry[str], name: str, rules: Ignore) -> None:
        is_folder = entry.is_dir(follow_symlinks=False)
        ignored = rules.ignores(name, is_folder)
        if ignored and not (is_folder and rules.may_keep_below):
            return
        _check_name(entry.path)
        if is_folder:
            self.folder(entry.path, name + "/", rules.inside_ignored() if ignored else rules)
            return
        try:
            status = entry.stat(follow_symlinks=False)
            if stat.S_ISLNK(status.st_mode):
                link = Entry(name, link=str(Path(entry.path).readlink()))
                check_link(link, entry.path)
                self.links.append(link)
                return
        except OSError as error:
            raise _unreadable(entry.path, error) from None
        if not stat.S_ISREG(status.st_mode):
            raise UserError(
                f"cannot pack {entry.path!r}: it is a {_kind(status.st_mode)}",
                "remove it, or name it in .fourfoldignore",
            )
        if entry.path in self.writes:
            self.left_out.append(name)
        elif status.st_size < outputs.SMALLEST or not self._is_image(entry.path, name, status, rules):
            self.file(entry.path, name, status)

    def _is_image(self, place: str, name: str, status: os.stat_result, rules: Ignore) -> bool:
        """Whether it is left out as one that was made of this source, most often."""
        is_folder = stat.S_ISDIR(status.st_mode)
        if not outputs.is_marked(place, status) or rules.brings_back(name, is_folder):
            return False
        self.left_out.append(f"{name}/" if is_folder else name)
        return True

    def file(self, path: str, name: str, status: os.stat_result) -> None:
        self.found.append((path, name, status))

    def manifest(self) -> Manifest:
        entries = list(self.links)
        for path, name, status in self.found:
            digest = self.cache.digest(path, name, status)
            self.paths[digest] = path
            mode = 0o755 if status.st_mode & 0o111 else 0o644
            entries.append(Entry(name, mode, status.st_size, digest))
        return Manifest.of(entries)


def _check_name(path: str) -> None:
    try:
        path.encode()
    except UnicodeEncodeError:
        shown = os.fsencode(path).decode(errors="backslashreplace")
        raise UserError(
            f"cannot pack {shown}: its name is not UTF-8", "rename it, or name it in .fourfoldignore"
        ) from None


def _check_limits(source: Path, walk: _Walk, limits: Limits) -> None:
    """Before anything is read: a source that is too large is most often a folder that was forgotten."""
    total = sum(status.st_size for _, _, status in walk.found)
    count = len(walk.found) + len(walk.links)
    if total <= limits.size and count <= limits.files:
        return
    by_size = total > limits.size
    sizes: dict[str, int] = {}
    for _, name, status in walk.found:
        folder = "/".join(name.split("/")[:-1][:2]) or "."
        sizes[folder] = sizes.get(folder, 0) + (status.st_size if by_size else 1)
    worst = sorted(sizes, key=lambda folder: -sizes[folder])[:3]
    listed = ", ".join(f"{folder} ({_amount(sizes[folder], by_size)})" for folder in worst)
    raise UserError(
        f"cannot pack {source}: it has {_amount(total if by_size else count, by_size)}, the limit is "
        f"{_amount(limits.size if by_size else limits.files, by_size)}; the largest folders: {listed}",
        "name what is not needed in .fourfoldignore (one pattern per line, as in .gitignore)",
    )


def _amount(number: int, by_size: bool) -> str:
    return f"{number / _MIB:,.0f} MiB" if by_size else f"{number:,} files"


def _unreadable(path: str, error: OSError) -> UserError:
    return UserError(f"cannot pack {path!r}: {error.strerror}", "make it readable, or name it in .fourfoldignore")


def _kind(mode: int) -> str:
    if stat.S_ISSOCK(mode):
        return "socket"
    return "pipe" if stat.S_ISFIFO(mode) else "device"
