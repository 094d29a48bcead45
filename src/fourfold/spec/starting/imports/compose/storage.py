"""`volumes` of a Compose service. Pure."""

from __future__ import annotations

import posixpath
import re
from typing import Any

from fourfold.spec.starting.finds import free_name, service_name
from fourfold.spec.starting.imports.compose.model import Compose, as_list
from fourfold.spec.starting.imports.compose.source import Program
from fourfold.spec.starting.imports.model import Drafted

_TAKEN = re.compile(r"/(app|tmp)?|/(proc|sys|dev|run/secrets)(/.*)?")
"""Where no volume can stand."""


def volumes(compose: Compose, made: Drafted, given: Any, program: Program) -> None:
    """Named and anonymous ones become volumes, and what Docker keeps of an image without being told; folders and files
    of the host are noted."""
    found: list[dict[str, str]] = []
    named: set[str] = set()
    in_memory = False
    for entry in as_list(given):
        source, target, kind, read_only = _parts(compose, entry)
        shown = entry if isinstance(entry, str) else f"{source}:{target}"
        if kind == "bind":
            made.note("volumes", _bind(compose, made, (source, target, read_only), program.recipe.workdir), shown)
        elif kind == "tmpfs":
            in_memory |= _is_around(target, program.data)
            made.note("volumes", "/tmp and /run can be written, and are in memory", shown)
        elif kind != "volume":
            made.note("volumes", "only volumes are known here", shown)
        elif "node_modules" in target or target.endswith("/.venv"):
            made.note("volumes", "what a build installs is part of the artifact", shown)
        else:
            _volume(made, found, source, target, shown)
            named |= {source} - {""}
    kept = in_memory or any(_is_around(each["path"], program.data) for each in found)
    if program.data and not kept and "instances" not in made.keys:
        _volume(made, found, "data", program.data, program.data)
        made.remarks["volumes"] = "Docker keeps this of its image as well"
    if found:
        made.keys["volumes"] = found
        if "image" in made.keys or program.data:
            made.keys["deploy"] = {"strategy": "recreate"}
            made.remarks["deploy"] = "the old one ends first: two cannot share its files"
        if any(
            _uses(other, named, compose) for name, other in compose.services.items() if compose.names[name] != made.name
        ):
            made.note("volumes", "another service has one of that name too: here each has its own")


def _is_around(path: str, data: str) -> bool:
    """Or in it."""
    return f"{path}/".startswith(f"{data}/") or f"{data}/".startswith(f"{path.rstrip('/')}/")


def _volume(made: Drafted, found: list[dict[str, str]], source: str, target: str, shown: str) -> None:
    target = target.rstrip("/")
    if not target.startswith("/") or ".." in target.split("/") or _TAKEN.fullmatch(target):
        made.note("volumes", "a volume cannot stand there", shown)
        return
    name = service_name(source or target.strip("/").replace("/", "-"))
    taken = {each["name"] for each in found}
    if any(each["path"] == target for each in found):
        return
    found.append({"name": free_name(name, taken), "path": target})


def _parts(compose: Compose, entry: Any) -> tuple[str, str, str, bool]:
    """Source, target, kind, whether it is read-only."""
    if isinstance(entry, dict):
        read_only = entry.get("read_only") is True
        return (
            compose.text(entry.get("source")),
            compose.text(entry.get("target")),
            compose.text(entry.get("type")),
            read_only,
        )
    parts = re.split(r"(?<!^[A-Za-z]):", compose.text(entry))  # not behind a drive: `C:/data:/data`
    if len(parts) == 1:
        return "", parts[0], "volume", False
    mode = parts[2] if len(parts) > 2 else ""
    kind = "bind" if re.match(r"[./~]|[A-Za-z]:", parts[0]) or "\\" in parts[0] else "volume"
    return parts[0], parts[1], kind, "ro" in mode.split(",")


def _bind(compose: Compose, made: Drafted, parts: tuple[str, str, bool], workdir: str) -> str:
    source, target, read_only = parts
    if "docker.sock" in source:
        return "Docker's socket is not given to services"
    if "source" in made.keys and source.startswith(".") and _is_code(compose, made, source, target, workdir):
        return "the code is in the artifact: `fourfold up` sends what has changed"
    if read_only or re.search(r"\.\w{2,5}$", source):
        return "files of this host are not mounted: put it into an image of your own, or make it a secret with `file`"
    return "folders of this host are not mounted: use a volume, and copy into it what is there"


def _is_code(compose: Compose, made: Drafted, source: str, target: str, workdir: str) -> bool:
    """What is built from, or lies in it and is mounted where its copy is; else it is data beside the program."""
    place, code = compose.place(source), posixpath.normpath(made.keys["source"])
    below = code == "." or place.startswith(f"{code}/")
    return place == code or (below and bool(workdir) and target.startswith(f"{workdir.rstrip('/')}/"))


def _uses(other: dict[str, Any], named: set[str], compose: Compose) -> bool:
    for entry in as_list(other.get("volumes")):
        source, _, kind, _ = _parts(compose, entry)
        if kind == "volume" and source in named:
            return True
    return False
