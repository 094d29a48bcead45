"""Which of the files that other tools have is read, and by whom. Pure."""

from __future__ import annotations

from collections.abc import Callable

from fourfold.errors import UserError
from fourfold.spec.starting.finds_functions import functions
from fourfold.spec.starting.imports import pm2, procfile, supervisord, workspaces
from fourfold.spec.starting.imports.compose import file as compose
from fourfold.spec.starting.imports.model import Draft, Folder
from fourfold.spec.starting.imports.surroundings import beside
from fourfold.spec.starting.imports.valid import settled

SUPERVISORD = ("supervisord.conf", "etc/supervisord.conf", "supervisor.conf")
READS = "compose.yaml, Procfile, supervisord.conf, ecosystem.config.js and package.json with workspaces"


def chosen(folder: Folder) -> str | None:
    """The first that is there. Functions that SAM or Serverless describe come before all but Compose."""
    files = folder.listing.files
    if found := next((name for name in compose.FILES if name in files), None):
        return found
    if functions(folder.listing.texts):
        return None
    for name in ("Procfile", *SUPERVISORD, *pm2.FILES):
        if name in files:
            return name
    return workspaces.FILE if workspaces.has_any(folder) else None


def draft(folder: Folder, file: str) -> Draft:
    """Raises SpecError when the file is not what its name says, UserError when its name says nothing."""
    made = _importer(file)(folder, file)
    if file.rpartition("/")[2] in compose.FILES:
        made = beside(made, folder)
    return settled(made)


def _importer(file: str) -> Callable[[Folder, str], Draft]:
    name = file.rpartition("/")[2]
    if name == workspaces.FILE:
        return workspaces.draft
    if name.startswith("Procfile"):
        return procfile.draft
    if name.endswith((".conf", ".ini")):
        return supervisord.draft
    if name.endswith((".json", *pm2.PROGRAMS)):
        return pm2.draft
    if name.endswith((".yaml", ".yml")):
        return compose.draft
    raise UserError(f"cannot make a service file of {file}: its name does not say what it is", f"it reads {READS}")
