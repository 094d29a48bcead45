"""`compose.yaml` -> a draft. Pure but for reading files through what it is given.

Source: the Compose specification (compose-spec.io): services, `extends`, `include`, profiles, secrets, volumes.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from fourfold.errors import Problem, SpecError
from fourfold.spec.dotenv import parse as dotenv
from fourfold.spec.starting.finds import free_name, service_name
from fourfold.spec.starting.imports.compose.model import Compose, as_list, as_map, pairs, plain
from fourfold.spec.starting.imports.compose.service import service
from fourfold.spec.starting.imports.model import Draft, Drafted, Folder, Note
from fourfold.spec.starting.imports.routes import expose
from fourfold.spec.starting.imports.values import resolved
from fourfold.spec.yaml import yaml

FILES = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")
OVERRIDES = tuple(f"{stem}.override.{end}" for stem in ("compose", "docker-compose") for end in ("yaml", "yml"))
MAX_FILES = 20
"""Included and extended ones."""
_HINT = "a Compose file has `services:`"


def draft(folder: Folder, file: str) -> Draft:
    """Raises SpecError when it is no Compose file."""
    reader = _Reader(folder)
    data = reader.data(file)
    compose = Compose(folder, file, posixpath.dirname(file))
    compose.known = _known(folder, compose.place(".env"))
    reader.take(compose, data, file)
    if not compose.services:
        raise SpecError([Problem("services", "has none", file, 1, 1, _HINT)])
    _share_builds(compose)
    compose.names = _names(list(compose.services))
    app = service_name(compose.text(data.get("name")) or folder.listing.name)
    made = Draft(app, file)
    made.services = [service(compose, name, said) for name, said in compose.services.items()]
    _settle(made.services)
    expose(made)
    made.notes += [*_top(data), *reader.notes, *_override(folder, compose)]
    made.hints = list(dict.fromkeys(compose.hints))
    return made


class _Reader:
    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._read: dict[str, dict[str, Any]] = {}
        self._taken: set[str] = set()
        self.notes: list[Note] = []

    def data(self, path: str) -> dict[str, Any]:
        """A file's content. SpecError: it cannot be read, or is no YAML."""
        if path not in self._read:
            text = self._folder.read(path) if len(self._read) < MAX_FILES else None
            if text is None:
                raise SpecError(
                    [Problem("", "cannot be read", path, hint="it must be a file in the folder, up to 1 MiB")]
                )
            self._read[path] = plain(yaml.read(text, path, _HINT))
        return self._read[path]

    def take(self, compose: Compose, data: dict[str, Any], path: str) -> None:
        """What a file says, and before that what it includes."""
        self._taken.add(path)
        for entry in as_list(data.get("include")):
            for each in as_list(entry.get("path") if isinstance(entry, dict) else entry):
                self._include(compose, each, path)
        services = as_map(data.get("services"))
        for name, said in services.items():
            compose.services[name] = self._extended(as_map(said), services, path, (f"{path}:{name}",))
        compose.secrets |= as_map(data.get("secrets"))
        compose.volumes |= as_map(data.get("volumes"))

    def _include(self, compose: Compose, each: Any, path: str) -> None:
        place = posixpath.normpath(posixpath.join(posixpath.dirname(path), compose.text(each)))
        try:
            included = self.data(place)
        except SpecError:
            self.notes.append(Note("include", "it could not be read", each))
            return
        if posixpath.dirname(place) != compose.base:
            self.notes.append(Note("include", "paths in it were taken from the folder of the first file", each))
        if place not in self._taken:
            self.take(compose, included, place)

    def _extended(
        self, said: dict[str, Any], siblings: Mapping[str, Any], path: str, seen: tuple[str, ...]
    ) -> dict[str, Any]:
        """With what it `extends` below it."""
        extends = said.get("extends")
        if not extends:
            return said
        said = {key: value for key, value in said.items() if key != "extends"}
        name = extends if isinstance(extends, str) else as_map(extends).get("service")
        file = as_map(extends).get("file") if isinstance(extends, dict) else None
        where = posixpath.normpath(posixpath.join(posixpath.dirname(path), file)) if isinstance(file, str) else path
        try:
            there = as_map(self.data(where).get("services")) if where != path else siblings
        except SpecError:
            there = {}
        place = f"{where}:{name}"
        if name not in there or place in seen:
            self.notes.append(Note("extends", "what it extends was not found", extends))
            return said
        below = self._extended(as_map(there[str(name)]), there, where, (*seen, place))
        return _over({key: value for key, value in below.items() if key != "depends_on"}, said)


def _over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """As `extends` merges: maps by key, lists one after the other, commands replace."""
    made = dict(below)
    for key, value in above.items():
        old = made.get(key)
        if key in ("environment", "labels", "extra_hosts", "args") and old is not None and value is not None:
            made[key] = pairs(old) | pairs(value)
        elif isinstance(old, dict) and isinstance(value, dict):
            made[key] = _over(old, value)
        elif isinstance(old, list) and isinstance(value, list) and key not in ("command", "entrypoint", "test"):
            made[key] = [*old, *(each for each in value if each not in old)]
        else:
            made[key] = value
    return made


def _share_builds(compose: Compose) -> None:
    """An image that one service builds is in no registry: others that name it are built of the same."""
    images = {name: compose.text(said.get("image")) for name, said in compose.services.items()}
    builds = {images[name]: said["build"] for name, said in compose.services.items() if said.get("build")}
    for name, said in compose.services.items():
        if images[name] in builds and images[name] and not said.get("build"):
            compose.services[name] = {**said, "build": builds[images[name]]}


def _names(theirs: list[str]) -> dict[str, str]:
    made: dict[str, str] = {}
    for name in theirs:
        made[name] = free_name(service_name(name), made.values())
    return made


def _known(folder: Folder, path: str) -> dict[str, str]:
    """The values of a `.env`: each may name those before it."""
    known: dict[str, str] = {}
    with suppress(SpecError):
        for name, value in dotenv(folder.read(path) or "", path).items():
            # A lone `$` may be of a password in quotes.
            known[name] = resolved(value, known) if "${" in value else value
    return known


def _settle(services: list[Drafted]) -> None:
    """Nothing depends on what stands there as a comment."""
    off = {made.name for made in services if made.off}
    for made in services:
        needed = made.keys.get("depends_on", [])
        for name in [each for each in needed if each in off] if not made.off else []:
            needed.remove(name)
            made.note("depends_on", "it stands here as a comment only", name)
        if "depends_on" in made.keys and not needed:
            del made.keys["depends_on"]


def _top(data: Mapping[str, Any]) -> list[Note]:
    notes = []
    for key, value in data.items():
        if key in ("services", "version", "name", "include", "secrets") or key.startswith("x-") or value is None:
            continue
        if key == "networks":
            notes.append(Note(key, "all services of an app reach each other, and no other app's", list(as_map(value))))
        elif key == "volumes":
            notes += [
                Note(f"volumes.{name}", "volumes are folders on this machine; what it holds is to be copied", said)
                for name, said in as_map(value).items()
                if as_map(said) not in ({}, {"driver": "local"})
            ]
        elif key == "configs":
            notes.append(Note(key, "files that are not part of a source: put them into it", list(as_map(value))))
        else:
            notes.append(Note(key, "it has no counterpart here", value))
    return notes


def _override(folder: Folder, compose: Compose) -> list[Note]:
    names = [name for name in OVERRIDES if compose.place(name) in folder.listing.files]
    why = "it was not read: what is for one environment goes to fourfold.ENV.yaml, taken with `-e ENV`"
    return [Note(name, why) for name in names if re.match(r"(docker-)?compose", compose.file.rpartition("/")[2])]
