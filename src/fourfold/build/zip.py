"""A function as a zip for AWS Lambda: its code and dependencies at the top, the same bytes for the same tree.

What lies below `.fourfold` is for our sandboxes and stays out: AWS's runtimes have clients of their own, and layers are
uploaded apart. Names are sorted, times are the earliest that a zip can have, modes are 0644 and 0755 (PKWARE APPNOTE).
Nothing is compressed as long as it fits: what deflate makes of the same bytes differs from zlib to zlib (zlib-ng, say).
"""

from __future__ import annotations

import hashlib
import stat
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from fourfold.build.clients import RUNTIME
from fourfold.build.function import MAX_ZIP
from fourfold.build.model import APP, OWN
from fourfold.errors import UserError
from fourfold.store.files import trees
from fourfold.store.files.artifacts import Artifact

_EARLIEST = (1980, 1, 1, 0, 0, 0)
_UNIX = 3
_LEVEL = 6
_HEADERS = 30 + 46
"""Bytes for each member beside its name, which stands there twice (APPNOTE, 4.3.7 and 4.3.12)."""
_END = 22
_LEFT_OUT = ("_virtualenv.py", "_virtualenv.pth", "distutils-precedence.pth")


@dataclass(frozen=True)
class Zipped:
    """As the Lambda API tells of it."""

    sha256: str
    """In hex."""
    size: int


def write_zip(artifact: Artifact, file: IO[bytes], service: str = "it") -> Zipped:
    """Blocking. Raises UserError for what is no function, has no handler, or is larger than AWS takes."""
    members = dict(sorted(_members(artifact, service), key=lambda member: member[0].encode()))
    plain = sum(_HEADERS + 2 * len(name.encode()) + path.lstat().st_size for name, path in members.items())
    method = zipfile.ZIP_STORED if plain + _END <= MAX_ZIP else zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(file, "w", method, compresslevel=_LEVEL) as made:
        for name, path in members.items():
            info = zipfile.ZipInfo(name, _EARLIEST)
            info.create_system = _UNIX
            info.compress_type = method
            mode = path.lstat().st_mode
            if stat.S_ISLNK(mode):
                info.external_attr = (stat.S_IFLNK | 0o777) << 16
                made.writestr(info, str(path.readlink()))
                continue
            info.external_attr = (stat.S_IFREG | (0o755 if mode & 0o100 else 0o644)) << 16
            info.file_size = path.stat().st_size
            with path.open("rb") as source, made.open(info, "w") as target:
                while chunk := source.read(1024 * 1024):
                    target.write(chunk)
    size = file.tell()
    if size > MAX_ZIP:
        raise UserError(
            f"cannot make a zip of {service}, {size:,} bytes: Zipped size must be smaller than {MAX_ZIP} bytes",
            "leave out what it does not need",
        )
    file.seek(0)
    return Zipped(hashlib.file_digest(file, "sha256").hexdigest(), size)  # type: ignore[arg-type]


def _members(artifact: Artifact, service: str) -> Iterator[tuple[str, Path]]:
    """Names in the zip, each once or more: of several with one name the last counts."""
    function = artifact.function
    if function is None:
        raise UserError(f"cannot make a zip of {service}: it was not built as a function", "say --as function")
    if not function.handler:
        raise UserError(
            f"cannot make a zip of {service}: it has no handler, and the adapter that it runs behind is ours",
            "give it a `function.handler`, or make an image of it: --as container --format docker-archive",
        )
    tree = artifact.tree
    if function.kind == "java":
        yield from _java(tree)
        return
    if function.kind == "python":
        for place in sorted(tree.glob(".venv/lib/python*/site-packages")):
            yield from _below(place, place)
    yield from _below(tree, tree)


def _below(folder: Path, top: Path) -> Iterator[tuple[str, Path]]:
    for path, status in trees.walk(folder):
        name = path.relative_to(top).as_posix()
        parts = name.split("/")
        ours = parts[0] in (OWN, ".venv") or "__pycache__" in parts or name in _LEFT_OUT
        if ours or stat.S_ISDIR(status.st_mode) or parts[:2] == ["node_modules", ".bin"]:
            continue
        yield name, path


def _java(tree: Path) -> Iterator[tuple[str, Path]]:
    """What is on the class path: JARs in lib/, classes at the top."""
    options = (tree / RUNTIME / "java.args").read_text().splitlines()
    paths = options[options.index("-cp") + 1].strip('"').split(":")
    for path in (tree / each.removeprefix(APP).lstrip("/") for each in paths):
        name = path.relative_to(tree).as_posix()
        if name.startswith(f"{OWN}/"):
            continue
        if path.is_dir():
            yield from (each for each in _below(path, path) if path != tree or not each[0].endswith(".java"))
        elif path.is_file():
            yield f"lib/{path.name}", path
