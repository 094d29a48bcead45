"""The layers of a function: zips and folders of its source, each as a folder of the tree."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from fourfold.build.model import OWN
from fourfold.errors import UserError
from fourfold.store.manifest import Entry, Manifest

FOLDER = f"{OWN}/layers"


def with_layers(manifest: Manifest, layers: Iterable[str], unpacked: Callable[[Entry], Manifest]) -> Manifest:
    """The source with each of `layers` moved to a folder of ours, by its number. Raises UserError for one that is not
    there, and as `unpacked` does, which gives what is in a zip."""
    entries = {entry.path: entry for entry in manifest.entries}
    added: list[Entry] = []
    for number, name in enumerate(layers):
        place = name.strip("/").removeprefix("./")
        if (entry := entries.get(place)) is not None and entry.link is None and place.lower().endswith(".zip"):
            found = {each.path: each for each in unpacked(entry).entries}
            taken = {place}
        else:
            taken = {path for path in entries if path.startswith(f"{place}/")}
            found = {path[len(place) + 1 :]: entries[path] for path in taken}
        if not found:
            raise UserError(
                f"cannot find the layer {name}: the source has no such folder or zip",
                "look at `function.layers` and at what the ignore files leave out",
            )
        added += [replace(each, path=f"{FOLDER}/{number}/{path}") for path, each in found.items()]
        entries = {path: each for path, each in entries.items() if path not in taken}
    return Manifest.of([*entries.values(), *added]) if added else manifest
