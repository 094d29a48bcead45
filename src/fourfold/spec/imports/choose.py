"""Which of the files that other tools have is read, and by whom. Pure."""

from __future__ import annotations

from fourfold.errors import UserError
from fourfold.spec.imports.compose.file import FILES as COMPOSE
from fourfold.spec.imports.compose.file import draft as compose
from fourfold.spec.imports.model import Draft, Folder


def chosen(files: frozenset[str]) -> str | None:
    """The first that is there: Compose."""
    return next((name for name in COMPOSE if name in files), None)


def draft(folder: Folder, file: str) -> Draft:
    """Raises SpecError when the file is not what its name says, UserError when its name says nothing."""
    name = file.rpartition("/")[2].lower()
    if name.endswith((".yaml", ".yml")):
        return compose(folder, file)
    raise UserError(f"cannot make a service file from {file}: it is none of the files that are known", "a Compose file")
