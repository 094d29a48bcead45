"""A Compose file that only has what an app needs beside it (databases for development), and the app itself. Pure."""

from __future__ import annotations

from dataclasses import replace

from fourfold.spec.starting.finds import find, free_name
from fourfold.spec.starting.imports import procfile
from fourfold.spec.starting.imports.found import drafted
from fourfold.spec.starting.imports.model import Draft, Drafted, Folder
from fourfold.spec.starting.imports.routes import expose


def beside(made: Draft, folder: Folder) -> Draft:
    """The same draft with the services that the code is, if the Compose file builds none of it."""
    if any("source" in service.keys for service in made.services):
        return made
    own = _own(folder)
    if not own:
        return made
    taken = {service.name for service in made.services}
    needed = [service.name for service in made.services if not service.off]
    for service in own:
        if service.name in taken:
            service.name = free_name(f"{service.name[:36]}-own", taken)
        taken.add(service.name)
        service.keys.pop("route", None)
        if needed:
            service.keys["depends_on"] = [*service.keys.get("depends_on", []), *needed]
            service.remarks["depends_on"] = "everything that the Compose file has"
    for service in made.services:
        service.keys.pop("route", None)
        service.remarks.pop("route", None)
    together = replace(
        made, services=[*own, *made.services], gateway={}, source=f"{made.source} and the code beside it"
    )
    expose(together)
    return together


def _own(folder: Folder) -> list[Drafted]:
    if "Procfile" in folder.listing.files:
        return procfile.draft(folder, "Procfile").services
    return [drafted(found) for found in find(folder.listing) if found.sure]
