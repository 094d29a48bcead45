"""Workspaces of npm, Yarn and pnpm -> a draft: a service for each package that can be started. Pure."""

from __future__ import annotations

import json
from typing import Any

from fourfold.errors import Problem, SpecError
from fourfold.spec.starting.finds import members, packages, service_name
from fourfold.spec.starting.imports.found import drafted
from fourfold.spec.starting.imports.model import Draft, Folder, Note
from fourfold.spec.starting.imports.routes import expose

FILE = "package.json"


def has_any(folder: Folder) -> bool:
    """Whether it is a workspace with packages that can be started."""
    return bool(members(folder.listing))


def draft(folder: Folder, file: str) -> Draft:
    """Raises SpecError when it is no workspace, or nothing in it can be started."""
    found = members(folder.listing)
    if file != FILE or not found:
        hint = "`workspaces` of the package.json in the folder itself; a package with `start` in its `scripts`"
        raise SpecError([Problem("workspaces", "names no package that can be started", file, 1, 1, hint)])
    made = Draft(service_name(folder.listing.name), file)
    made.services = [drafted(each) for each in found]
    started = {each.why.removesuffix(f"/{FILE}") for each in found}
    for name in packages(folder.listing):
        if name not in started:
            made.notes.append(Note(name, "nothing starts it: a library, or add `start` to its `scripts`"))
    scripts = _scripts(folder)
    if "start" in scripts:
        made.notes.append(Note("scripts.start", "each package is started by itself here", scripts["start"]))
    expose(made)
    return made


def _scripts(folder: Folder) -> dict[str, Any]:
    try:
        found = json.loads(folder.listing.text(FILE)).get("scripts")
    except (ValueError, RecursionError, AttributeError):
        return {}
    return found if isinstance(found, dict) else {}
