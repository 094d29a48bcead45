"""The manifest of a source: which files it has, by content. Pure.

As JSON: `{"version": 1, "entries": [{"path", "mode", "size", "sha256"} | {"path", "link"}, …]}`, entries sorted by
path, modes 420 (0644) or 493 (0755). The source's digest is the SHA-256 of that JSON in canonical form (sorted keys, no
blanks, UTF-8). Folders are implied by the files in them, as in git.

A manifest comes from whoever may talk to the daemon, and is written to disk by root: `Manifest.parse` refuses whatever
could reach outside the folder it is written into.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from fourfold.errors import UserError

VERSION = 1
MODES = (0o644, 0o755)
MAX_FILES = 100_000
MAX_BYTES = 512 * 1024 * 1024
MAX_LETTERS = 32 * 1024 * 1024
"""Of all paths, of each folder's in them, and of what links point to: names alone can take more than memory holds."""
MAX_PATH = 4000
"""Bytes; Linux takes 4095."""
_BAD = re.compile(r"(?:\A|/)\.{0,2}(?:/|\Z)|\0")
"""An empty part, `.`, `..`, or a zero byte."""
_DIGEST = re.compile(r"[0-9a-f]{64}")


def is_digest(text: object) -> bool:
    return isinstance(text, str) and _DIGEST.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Entry:
    """One file (`sha256` set) or one symbolic link (`link` set)."""

    path: str
    mode: int = 0o644
    size: int = 0
    sha256: str = ""
    link: str | None = None

    def as_json(self) -> dict[str, Any]:
        if self.link is not None:
            return {"path": self.path, "link": self.link}
        return {"path": self.path, "mode": self.mode, "size": self.size, "sha256": self.sha256}


@dataclass(frozen=True)
class Manifest:
    entries: tuple[Entry, ...]

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> Manifest:
        """Sorted and checked. Raises UserError for what `parse` refuses, as soon as there is too much of it."""
        ordered = tuple(sorted(bounded(entries), key=lambda entry: entry.path.encode("utf-8", "surrogateescape")))
        _check(ordered)
        return cls(ordered)

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> Manifest:
        """From JSON that nobody has checked. Raises UserError."""
        if data.get("version") != VERSION:
            raise UserError(
                f"cannot read the manifest: version {data.get('version')!r} is not {VERSION}",
                "use the same version of fourfold for the command and the daemon",
            )
        listed = data.get("entries")
        if not isinstance(listed, list) or set(data) != {"version", "entries"}:
            raise UserError("cannot read the manifest: it must have a version and a list of entries")
        return cls.of(_entry(item) for item in listed)

    def as_json(self) -> dict[str, Any]:
        return {"version": VERSION, "entries": [entry.as_json() for entry in self.entries]}

    @cached_property
    def canonical(self) -> bytes:
        return json.dumps(self.as_json(), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    @cached_property
    def digest(self) -> str:
        return hashlib.sha256(self.canonical).hexdigest()

    @cached_property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(entry.size for entry in self.entries)

    @property
    def blobs(self) -> dict[str, int]:
        """Digest -> size of every file's content, each once."""
        return {entry.sha256: entry.size for entry in self.entries if entry.link is None}


def bounded(entries: Iterable[Entry]) -> Iterator[Entry]:
    """The same. Raises UserError at the one that is one too many, or has the letter too many."""
    left = MAX_LETTERS
    for count, entry in enumerate(entries, 1):
        if count > MAX_FILES:
            raise UserError(f"cannot accept a source of more files than the limit of {MAX_FILES:,}")
        left -= len(entry.path) + len(entry.link or "")
        if left < 0:
            raise _too_many_letters()
        yield entry


def _entry(item: Any) -> Entry:
    if not isinstance(item, dict) or not isinstance(item.get("path"), str):
        raise UserError("cannot read the manifest: an entry is not a map with a path")
    path = item["path"]
    _check_path(path)
    if set(item) == {"path", "link"} and isinstance(item["link"], str):
        return Entry(path=path, link=item["link"])
    if set(item) != {"path", "mode", "size", "sha256"}:
        raise UserError(f"cannot accept {path!r}: an entry has path, mode, size and sha256, or path and link")
    mode, size = item["mode"], item["size"]
    if type(mode) is not int or mode not in MODES:
        raise UserError(f"cannot accept {path!r}: its mode must be 0644 or 0755")
    if type(size) is not int or size < 0:
        raise UserError(f"cannot accept {path!r}: its size must be a number of bytes")
    if not is_digest(item["sha256"]):
        raise UserError(f"cannot accept {path!r}: its digest is not a SHA-256")
    return Entry(path=path, mode=mode, size=size, sha256=item["sha256"])


def _check(entries: tuple[Entry, ...]) -> None:
    """`entries` are sorted, so a folder's name comes before what is in it."""
    if (total := sum(entry.size for entry in entries)) > MAX_BYTES:
        raise UserError(f"cannot accept a source of {total:,} bytes: the limit is {MAX_BYTES:,}")
    sizes: dict[str, int] = {}
    names: dict[str, str] = {}
    leaves: set[str] = set()
    folders: set[str] = set()
    left = MAX_LETTERS
    for entry in entries:
        _check_path(entry.path)
        if entry.link is not None:
            check_link(entry)
        elif sizes.setdefault(entry.sha256, entry.size) != entry.size:
            raise UserError(f"cannot accept {entry.path!r}: one digest cannot have two sizes")
        if entry.path in leaves:
            raise UserError(f"cannot accept {entry.path!r}: it is listed twice")
        leaves.add(entry.path)
        _check_name(entry.path, names)
        folder = entry.path.rpartition("/")[0]
        while folder and folder not in folders:
            folders.add(folder)
            if (left := left - len(folder)) < 0:
                raise _too_many_letters()
            _check_name(folder, names)
            folder = folder.rpartition("/")[0]
    if both := leaves & folders:
        raise UserError(f"cannot accept {min(both)!r}: a file or link cannot have files in it")


def _too_many_letters() -> UserError:
    return UserError(
        f"cannot accept the source: its names, with the folders in them, have more than {MAX_LETTERS:,} letters",
        "leave out what the build does not need",
    )


def _check_path(path: str) -> None:
    if len(path) > MAX_PATH:
        raise _too_long(path)
    if path.isascii() and len(path) <= 255 and not _BAD.search(path):
        return
    try:
        raw = path.encode()
    except UnicodeEncodeError:
        raise UserError(f"cannot accept {path!r}: the name is not UTF-8", "rename it") from None
    if _BAD.search(path):
        raise UserError(f"cannot accept the path {path!r}: it must be relative, without `.`, `..` or empty parts")
    if len(raw) > MAX_PATH or any(len(part.encode()) > 255 for part in path.split("/")):
        raise _too_long(path)


def _too_long(path: str) -> UserError:
    return UserError(f"cannot accept the path {path[:80]!r}…: it is too long")


def _check_name(path: str, names: dict[str, str]) -> None:
    """Two names that differ only in case or Unicode form are one file on some systems, and trick readers on all."""
    folded = path.lower() if path.isascii() else unicodedata.normalize("NFC", path.casefold())
    if (other := names.setdefault(folded, path)) != path:
        raise UserError(f"cannot accept {path!r} beside {other!r}: the names differ only in case", "rename one")


def check_link(entry: Entry, place: str | None = None) -> None:
    """Inside, whatever other links there are: `..` only at the front, where the folders above are real ones.
    `place`: how an error names it; as the entry by default.

    With `..` later in the target, a link on the way could make a path that reads as inside lead out.
    """
    target = entry.link or ""
    why = None
    if not target or "\0" in target or len(target.encode("utf-8", "surrogateescape")) > MAX_PATH:
        why = "its target is empty or malformed"
    elif target.startswith("/"):
        why = f"it points to the absolute path {target[:80]}"
    else:
        parts = [part for part in target.split("/") if part not in ("", ".")]
        ups = next((index for index, part in enumerate(parts) if part != ".."), len(parts))
        if ups > entry.path.count("/"):
            why = f"it points out of the source, to {target[:80]}"
        elif ".." in parts[ups:]:
            why = f"its target {target[:80]} goes down and up again"
    try:
        target.encode()
    except UnicodeEncodeError:
        why = "its target is not UTF-8"
    if why:
        raise UserError(
            f"cannot accept the link {(place or entry.path)!r}: {why}",
            "copy the file here, or name the link in .fourfoldignore",
        )
