"""Which app a command is about, from the service file, without loading all of it: a file with an unset variable
must not keep `status` from answering."""

from __future__ import annotations

import os
import re
from pathlib import Path

from fourfold.cli.options import Options
from fourfold.errors import NotFoundError, UserError

NAME = "fourfold.yaml"
_APP = re.compile(r"""^app:[ \t]+(["']?)([a-z][a-z0-9-]*)\1[ \t]*(?:#.*)?$""", re.MULTILINE)


def find_file(options: Options) -> Path | None:
    """The file given with -f, else the nearest one in this folder or its parents. Raises UserError where what has its
    name is no file: to read a pipe may take for ever, and another file is not to be taken for it."""
    if options.file:
        return Path(options.file)
    try:
        here = Path.cwd()
    except OSError:  # it was removed
        return None
    for folder in (here, *here.parents):
        path = folder / NAME
        if path.exists() and not path.is_file():
            what = "a folder" if path.is_dir() else "no regular file"
            raise UserError(f"cannot read {path}: it is {what}", "remove it, or name the service file with -f")
        if path.is_file() or path.is_symlink():  # whoever reads it tells that it leads nowhere
            return path
    return None


def need_file(options: Options) -> Path:
    """Like `find_file`; raises NotFoundError when there is none."""
    if (path := find_file(options)) is None:
        raise NotFoundError(
            "cannot find a service file: no fourfold.yaml in this folder or its parents",
            "write one with `fourfold init`, or name it with -f",
        )
    return path


def from_file(options: Options) -> str | None:
    """The app's name as the file says it. None when there is no file."""
    path = find_file(options)
    if path is None:
        return None
    overlay = path.with_name(f"{path.stem}.{options.env}{path.suffix}") if options.env else None
    for candidate in (overlay, path):
        if candidate is not None and (name := _scan(candidate)):
            return name
    from fourfold.spec.outline import outline

    return outline(path, env=options.env, environ=os.environ).app


def _scan(path: Path) -> str | None:
    try:
        match = _APP.search(path.read_text("utf-8-sig"))
    except (OSError, UnicodeDecodeError):
        return None
    return match[2] if match else None
