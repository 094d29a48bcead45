"""What the build tests share: sources written from a table, a home of their own, and a host made up."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fourfold.build.build import Builder, BuildRequest, Confine, unconfined
from fourfold.build.make import BuildLimits
from fourfold.build.model import Host, Listing, Runtime
from fourfold.build.pack import pack
from fourfold.clock import SystemClock
from fourfold.paths import Paths
from fourfold.spec.model import Service
from fourfold.store.files.artifacts import Artifact
from fourfold.store.files.blobs import Blobs
from fourfold.store.files.sources import Sources
from fourfold.store.manifest import Entry, Manifest

HOST = Host(
    runtimes={
        "python3.11": Runtime("python3.11", "/usr/bin/python3.11", "3.11"),
        "python3.13": Runtime("python3.13", "/usr/bin/python3.13", "3.13"),
        "nodejs20": Runtime("nodejs20", "/usr/bin/node", "20.1.0"),
        "java17": Runtime("java17", "/usr/lib/jvm/java-17/bin/java", "17.0.1"),
        "ruby3.1": Runtime("ruby3.1", "/usr/bin/ruby3.1", "3.1"),
        "go": Runtime("go", "/usr/bin/go", "1.22"),
    },
    defaults={"python": "python3.11"},
    tools={"uv": "/opt/ff/uv", "npm": "/usr/bin/npm", "bundle": "/usr/bin/bundle", "mvn": "/usr/bin/mvn"},
    abi="x86_64 glibc 2.36",
)


def listing(files: Mapping[str, str], main_class: str | None = None) -> Listing:
    """A source of text files; one that starts with `#!` is executable, every .jar has `main_class`."""
    contents = {hashlib.sha256(text.encode()).hexdigest(): text.encode() for text in files.values()}
    entries = [
        Entry(path, 0o644, len(text.encode()), hashlib.sha256(text.encode()).hexdigest())
        for path, text in files.items()
    ]
    return Listing(
        Manifest.of(entries),
        read=lambda entry: contents[entry.sha256],
        head=lambda entry: contents[entry.sha256][:256],
        main_class=lambda entry: main_class,
    )


def write(folder: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    folder.mkdir(exist_ok=True)
    return folder


@dataclass
class Home:
    """A FOURFOLD_HOME with a builder."""

    root: Path
    limits: BuildLimits = field(default_factory=BuildLimits)
    lines: list[str] = field(default_factory=list)
    confine: Confine = unconfined
    unisolated: bool = False

    def __post_init__(self) -> None:
        self.environ = {"FOURFOLD_HOME": str(self.root)}
        self.paths = Paths.find(self.environ, os.geteuid())
        self.blobs = Blobs(self.paths)
        self.sources = Sources(self.paths, self.blobs)
        self.builder = Builder(
            self.paths, SystemClock(), limits=self.limits, confine=self.confine, unisolated=self.unisolated
        )

    def send(self, source: Path) -> str:
        """Pack a source and store it, as client and API do."""
        packed = pack(source, environ=self.environ)
        for digest in self.blobs.missing(packed.manifest.blobs):
            self.blobs.add(digest, [packed.files[digest].read_bytes()])
        return self.sources.put(packed.manifest)

    async def build(self, source: Path, service: str = "web", fresh: str = "", **spec: Any) -> Artifact:
        return await self.builder.build(self.request(source, service, fresh, **spec), self.lines.append)

    def request(self, source: Path, service: str = "web", fresh: str = "", **spec: Any) -> BuildRequest:
        """Of the pattern that `spec` names."""
        model = Service.model_validate(spec)
        return BuildRequest("shop", service, model, self.send(source), model.pattern, fresh)

    @property
    def left_over(self) -> list[Path]:
        """What a build must not leave behind."""
        return list(self.paths.work.iterdir()) if self.paths.work.is_dir() else []


def environment(artifact: Artifact, **extra: str) -> dict[str, str]:
    return {**artifact.env, "HOST": "127.0.0.1", **extra}
