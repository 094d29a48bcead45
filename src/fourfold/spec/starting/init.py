"""`fourfold init`: look at a folder, with bounds, and write its service file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from fourfold.errors import ConflictError, UserError, WorldError
from fourfold.spec.files import FILE_NAME
from fourfold.spec.starting.draft import draft
from fourfold.spec.starting.finds import PROGRAMS, READ, Listing
from fourfold.spec.starting.imports.choose import chosen
from fourfold.spec.starting.imports.choose import draft as imported
from fourfold.spec.starting.imports.model import Folder
from fourfold.spec.starting.imports.pm2 import PROGRAMS as PROGRAMS_OF_PM2
from fourfold.spec.starting.imports.writer import written

DEPTH = 3
"""Folders deep: `services/orders/src`."""
MAX_FOLDERS = 200
"""At one depth."""
MAX_FILES = 2_000
"""In one folder; more are not looked at."""
MAX_TEXT = 64 * 1024
MAX_FILE = 1024 * 1024
"""Bytes of a file that an importer reads."""
_SKIPPED = frozenset(
    ("node_modules", "target", "build", "dist", "vendor", "__pycache__", "venv", "env", "tests", "test", "docs-build")
)


@dataclass(frozen=True)
class Written:
    """What `init` has done."""

    path: Path
    source: str | None = None
    """The file of another tool that it was made of."""
    services: int = 0
    left_out: int = 0
    """What was not carried over: each has a comment."""
    hints: tuple[str, ...] = ()
    """Commands to be run before `fourfold up`."""
    skipped: str | None = None
    """A file that was not read, for that would have run it."""


def init(folder: Path, source: str | None = None, evaluate: Callable[[str], str | None] | None = None) -> Written:
    """Write `fourfold.yaml` into a folder, from the file `source` of another tool in it, or from what is there.

    `evaluate` runs a JavaScript file of the folder and returns what it exports as JSON; None: it is not to be run.
    Raises ConflictError when there is one already, SpecError when `source` cannot be read as what its name says.
    """
    path = folder / FILE_NAME
    if path.exists():
        raise ConflictError(f"cannot write {path}: it is there already", "change it, or move it away first")
    seen = Folder(gather(folder), lambda name: read(folder, name))
    found = _inside(folder, source) if source is not None else chosen(seen)
    skipped = None
    if found is not None and found.endswith(PROGRAMS_OF_PM2):
        text = evaluate(found) if evaluate is not None else None
        if text is None:
            found, skipped = None, found
        else:
            seen = replace(seen, evaluate=lambda _: text)
    if found is None:
        _write(path, draft(seen.listing))
        return Written(path, skipped=skipped)
    made = imported(seen, found)
    _write(path, written(made))
    return Written(path, found, len(made.on), made.left_out, tuple(made.hints))


def _inside(folder: Path, source: str) -> str:
    """A file of the folder by its path from there. Raises UserError when there is none that can be read."""
    path = source.removeprefix(f"{folder.absolute()}/") if source.startswith("/") else source
    name = os.path.normpath(path)
    if read(folder, name) is None:
        hint = f"it is to be a file in {folder.absolute()}, of at most {MAX_FILE:,} bytes of text"
        raise UserError(f"cannot read {source}", hint)
    return name


def read(folder: Path, name: str) -> str | None:
    """The text of a file in the folder, or None: not there, outside of it, too large, or no text."""
    parts = PurePosixPath(name).parts
    if not parts or ".." in parts or name.startswith("/") or "\0" in name:
        return None
    try:
        path = (folder / name).resolve(strict=True)
        if not path.is_relative_to(folder.resolve()) or not path.is_file():
            return None
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
        return data.decode("utf-8-sig") if len(data) <= MAX_FILE else None
    except (OSError, ValueError, RuntimeError):
        return None


def _write(path: Path, text: str) -> None:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ConflictError(f"cannot write {path}: it is there already", "change it, or move it away first") from None
    except OSError as error:
        raise WorldError(f"cannot write {path}: {error.strerror}") from None


def gather(folder: Path) -> Listing:
    """The folder and what is below it as facts. Raises UserError when it is no folder that can be read."""
    folder = folder.absolute()
    try:
        level = _entries(folder)
    except OSError as error:
        raise UserError(f"cannot look into {folder}: {error.strerror}") from None
    files, texts = set[str](), dict[str, str]()
    for depth in range(DEPTH + 1):
        for entry in level:
            if entry.is_file():
                name = entry.relative_to(folder).as_posix()
                files.add(name)
                if entry.name in READ or entry.name in PROGRAMS:
                    texts[name] = _text(entry)
        level = list(_below(level)) if depth < DEPTH else []
    return Listing(folder.name or "app", frozenset(files), texts)


def _below(level: list[Path]) -> Iterator[Path]:
    """What is in the folders among them; no links, which may lead anywhere."""
    looked_into = [
        entry for entry in level if not _is_skipped(entry.name) and not entry.is_symlink() and entry.is_dir()
    ]
    for folder in looked_into[:MAX_FOLDERS]:
        try:
            yield from _entries(folder)
        except OSError:
            continue  # a folder that cannot be read holds no service that could be sent


def _is_skipped(name: str) -> bool:
    return name.startswith(".") or name.lower() in _SKIPPED


def _entries(folder: Path) -> list[Path]:
    """At most MAX_FILES entries, in order of their names."""
    with os.scandir(folder) as found:
        names = [entry.name for _, entry in zip(range(MAX_FILES), found, strict=False)]
    return [folder / name for name in sorted(names)]


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(MAX_TEXT).decode("utf-8", "replace")
    except OSError:
        return ""
