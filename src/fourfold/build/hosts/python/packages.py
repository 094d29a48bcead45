"""Installed distributions (PEP 376, PEP 566), and which of them guests can have in common.

A distribution that several guests brought in one version is imported once. It is copied into the host's own folder for
that, since a guest's folder goes when the guest does. Another version of something that is pure Python becomes the
guest's own, with all that needs it; of something compiled it is refused: what it keeps in C is the process's.
"""

from __future__ import annotations

import csv
import os
import re
import shutil
import site
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path


class ConflictError(Exception):
    """A guest cannot be in this process; the reason in a sentence."""


@dataclass(frozen=True)
class Dist:
    name: str
    """Normalized as PEP 503 says."""
    version: str
    folder: str
    """The one that is put on sys.path."""
    info: str
    """Name of its .dist-info."""
    tops: frozenset[str] = frozenset()
    """Files and folders in `folder`."""
    requires: frozenset[str] = frozenset()
    compiled: bool = False
    local: bool = False
    """From a folder or an URL: its version says nothing about what is in it. The guest's own project, mostly."""

    @property
    def modules(self) -> set[str]:
        return {top.partition(".")[0] for top in self.tops}


def is_site(folder: str) -> bool:
    """Whether it holds installed distributions, rather than the guest's own modules."""
    return Path(folder).name in ("site-packages", "dist-packages") or any(Path(folder).glob("*.dist-info"))


def put_first(*folders: str) -> None:
    """On sys.path, ahead of what is installed for the interpreter itself, which may have other versions."""
    own = [place for place in sys.path if is_site(place) and place not in folders]
    sys.path[:] = [place for place in sys.path if place not in own]
    for folder in folders:
        site.addsitedir(folder)
    sys.path += own


def with_path(folders: Sequence[str], env: Mapping[str, str]) -> list[str]:
    """With those of PYTHONPATH, which come first in a process too."""
    named = [folder for folder in env.get("PYTHONPATH", "").split(":") if folder]
    return list(dict.fromkeys([*named, *folders]))


def read(folder: str) -> list[Dist]:
    return [_dist(folder, info) for info in sorted(Path(folder).glob("*.dist-info"))]


def _dist(folder: str, info: Path) -> Dist:
    metadata = _text(info / "METADATA").partition("\n\n")[0]
    fields = re.findall(r"^(Name|Version|Requires-Dist): *(.+?) *$", metadata, re.MULTILINE)
    single = {key: value for key, value in fields if key != "Requires-Dist"}
    files = [line[0] for line in csv.reader(_text(info / "RECORD").splitlines()) if line]
    tops = {name.partition("/")[0] for name in files} - {"..", "", "__pycache__", info.name}
    return Dist(
        normal(single.get("Name", info.name.partition("-")[0])),
        single.get("Version", "?"),
        folder,
        info.name,
        frozenset(top for top in tops if not top.endswith((".dist-info", ".pth", ".data")) and not top.startswith("/")),
        frozenset(normal(match[0]) for key, value in fields if key != "Name" and (match := _NAME.match(value))),
        any(name.endswith(tuple(EXTENSION_SUFFIXES)) for name in files),
        (info / "direct_url.json").exists(),
    )


_NAME = re.compile(r"[A-Za-z][\w.-]*")


def normal(name: str) -> str:
    """As PEP 503 says."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


@dataclass
class Common:
    """What all guests have in common, in `folder`."""

    folder: Path
    held: dict[str, Dist] = field(default_factory=dict)
    brought: dict[str, str] = field(default_factory=dict)
    """By whom each was brought first: its service."""

    def others(self, dists: Iterable[Dist]) -> list[Dist]:
        """Those of which there is another version here."""
        return [dist for dist in dists if dist.name in self.held and self.held[dist.name].version != dist.version]

    def own(self, dists: Iterable[Dist], service: str) -> list[Dist]:
        """Those that a guest must have for itself. Raises ConflictError where it cannot."""
        there = {dist.name: dist for dist in dists}
        why = {dist.name: dist for dist in self.others(there.values())}
        own = {name: dist for name, dist in there.items() if dist.local or name in why}
        while more := {n: d for n, d in there.items() if n not in own and d.requires & own.keys()}:
            own |= more
            for name, dist in more.items():
                if needed := sorted(dist.requires & why.keys()):
                    why[name] = why[needed[0]]
        for name, dist in sorted(own.items()):
            if dist.compiled and name in why:
                other = why[name]
                by = self.brought[other.name]
                here = f"{other.name} {self.held[other.name].version}, which {by} brought"
                needs = "" if other is dist else f", which {dist.name} needs"
                raise ConflictError(
                    f"it has {other.name} {other.version}{needs}, and this process has {here}; {dist.name} is "
                    f"compiled, and a process can have one of it: {_way_out(service, by)}"
                )
        return list(own.values())

    def take(self, dists: Iterable[Dist], service: str) -> None:
        """Copy what is not there yet. Raises OSError."""
        for dist in dists:
            if dist.name not in self.held:
                for top in (*dist.tops, dist.info):
                    _copy(Path(dist.folder) / top, self.folder / top)
                self.held[dist.name] = dist
                self.brought[dist.name] = service


def _way_out(service: str, by: str) -> str:
    if service != by:
        return "use the same version, or `mode: forked` in the group"
    return (
        f"move it out (`fourfold deploy {service} --as process`), restart the group and move it back, or say "
        "`mode: forked` in the group"
    )


def _copy(source: Path, target: Path) -> None:
    """Merged into what is there, as folders of namespace packages are; writable, whatever the source is."""
    if not source.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_file() and not target.exists():
            shutil.copyfile(source, target)
        return
    for folder, _, files in os.walk(source):
        place = target / Path(folder).relative_to(source)
        place.mkdir(parents=True, exist_ok=True)
        for name in files:
            if not (place / name).exists():
                shutil.copyfile(Path(folder) / name, place / name)


def require_version(folder: str) -> None:
    """Raises ConflictError for packages that were installed for another Python than this one."""
    match = re.search(r"/python(3\.\d+)/", folder)
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if match and match[1] != here:
        raise ConflictError(
            f"its packages are for Python {match[1]}, and the group runs {here}: say the same `runtime`"
        )
