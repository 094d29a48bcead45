"""Reading service files: the one place of this package that touches the disk (beside `init`)."""

from __future__ import annotations

import re
from pathlib import Path

from fourfold.errors import NotFoundError, UserError
from fourfold.spec.yaml import yaml

FILE_NAME = "fourfold.yaml"


def texts_of(path: Path, env: str | None) -> tuple[tuple[Path, ...], list[tuple[str, str]]]:
    """A service file and its overlay, lowest first; their names in messages and their texts.

    Raises SpecError, or UserError when one cannot be read.
    """
    files = (path,) if env is None else (path, overlay(path, env))
    return files, [(shown(file), yaml.decode(_read(file), shown(file))) for file in files]


def overlay(path: Path, env: str) -> Path:
    """`fourfold.yaml`, `staging` -> `fourfold.staging.yaml`. Raises UserError when it is not there."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", env):
        raise UserError(f"cannot use the environment {env!r}: a name has letters, digits, - and _ only")
    file = path.with_name(f"{path.stem}.{env}{path.suffix}")
    if not file.is_file():
        there = sorted(found.name.split(".")[-2] for found in path.parent.glob(f"{path.stem}.*{path.suffix}"))
        hint = f"there is: {', '.join(there)}" if there else "write it, or leave `-e` out"
        raise UserError(f"cannot use the environment {env}: there is no {file}", hint)
    return file


def _read(path: Path) -> bytes:
    """At most one byte more than is allowed: enough to see that it is too much."""
    try:
        with path.open("rb") as file:
            return file.read(yaml.MAX_BYTES + 1)
    except FileNotFoundError:
        if path.is_symlink():
            raise NotFoundError(f"cannot read {path}: it is a link to {path.readlink()}, which is not there") from None
        raise NotFoundError(f"cannot read {path}: it is not there", "`fourfold init` writes one") from None
    except IsADirectoryError:
        raise UserError(f"cannot read {path}: it is a folder", f"name the file in it: -f {path / FILE_NAME}") from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None


def shown(path: Path) -> str:
    """As messages name it: as it was given, relative to the current folder where it lies below."""
    try:
        return str(path.relative_to(Path.cwd())) if path.is_absolute() else str(path)
    except (ValueError, OSError):
        return str(path)
