"""What a builder sees (`Listing`, `Host`) and what it answers (`BuildPlan`): values only.

Inside a build and inside an instance the tree is at `/app`; what Fourfold itself puts there is under `/app/.fourfold`.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from fourfold.errors import UserError
from fourfold.store.files.artifacts import Function
from fourfold.store.manifest import Entry, Manifest

DIES_WITH_US = ("/usr/bin/setpriv", "--pdeathsig", "KILL")
"""In front of a command line: a daemon that is killed leaves nothing running that writes. Of the thread that starts it,
prctl(2): for the main one only."""
APP = "/app"
OWN = ".fourfold"
"""Folder in the tree for what the builders add."""
SHIMS = f"{OWN}/shims"
THIS_HOST = "this host"
SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True)
class Runtime:
    """One interpreter or tool of this host: `Runtime("python3.11", "/usr/bin/python3.11", "3.11.2")`."""

    name: str
    path: str
    version: str

    @property
    def folders(self) -> tuple[str, ...]:
        """What PATH needs for it beside the system's folders: without root it may be below this user's home."""
        folder = posixpath.dirname(self.path)
        return () if folder in SYSTEM_PATH.split(":") else (folder,)


@dataclass(frozen=True)
class Host:
    """What this host has to build with and run on."""

    runtimes: Mapping[str, Runtime] = field(default_factory=dict)
    """By name: `python3.11`, `nodejs20`, `java17`, `ruby3.1`, `go`."""
    defaults: Mapping[str, str] = field(default_factory=dict)
    """Language -> the runtime that its plain name starts (`/usr/bin/python3`), such as `{"python": "python3.11"}`."""
    tools: Mapping[str, str] = field(default_factory=dict)
    """Other programs that builders ask for, with their paths: `uv`, `npm`, `mvn`, `bundle`, `javac`."""
    abi: str = ""
    """Machine and C library, such as `x86_64 glibc 2.36`: what is built here runs only where these are the same."""
    place: str = THIS_HOST
    """What errors call it."""

    def family(self, prefix: str) -> list[Runtime]:
        """Runtimes of one language, the host's default first, then newest first: `family("python")`."""
        found = [runtime for name, runtime in self.runtimes.items() if name.startswith(prefix)]
        found.sort(key=lambda runtime: version_key(runtime.version), reverse=True)
        return sorted(found, key=lambda runtime: runtime.name != self.defaults.get(prefix))


def version_key(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdigit())


@dataclass(frozen=True)
class Listing:
    """The source: its manifest, and a way to read the few small files that say how to build it."""

    manifest: Manifest
    read: Callable[[Entry], bytes | None]
    """Content of a file, or None when it is too large to be one that a builder reads (16 MiB)."""
    head: Callable[[Entry], bytes] = lambda entry: b""
    """The first bytes of a file."""
    main_class: Callable[[Entry], str | None] = lambda entry: None
    """Main-Class in the manifest of a .jar or .war."""
    jar_headers: Callable[[Entry], Mapping[str, str]] = lambda entry: {}
    """All headers in the manifest's main section, by their names in lower case."""

    @cached_property
    def entries(self) -> dict[str, Entry]:
        return {entry.path: entry for entry in self.manifest.entries}

    @cached_property
    def top(self) -> list[str]:
        """Files (not folders) at the top."""
        return [path for path in self.entries if "/" not in path]

    @cached_property
    def folders(self) -> set[str]:
        """Folders at the top."""
        return {path.partition("/")[0] for path in self.entries if "/" in path}

    def has(self, path: str) -> bool:
        return path in self.entries

    def text(self, path: str) -> str | None:
        """A file as text; None when it is missing. Raises UserError for one that is there and cannot be read."""
        entry = self.entries.get(path)
        if entry is None:
            return None
        if entry.link is not None:
            raise UserError(f"cannot read {path}: it is a link", "put the file itself there")
        content = self.read(entry)
        if content is None:
            raise UserError(f"cannot read {path}: it is larger than 16 MiB", "look at what it holds")
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise UserError(f"cannot read {path}: it is not UTF-8", "save it as UTF-8") from None

    def ending(self, *suffixes: str) -> list[str]:
        """Top-level files with one of the suffixes."""
        return [path for path in self.top if path.lower().endswith(suffixes)]

    @property
    def only(self) -> Entry | None:
        """The entry of a source that is a single file."""
        return self.manifest.entries[0] if len(self.manifest.entries) == 1 else None


@dataclass(frozen=True)
class Step:
    """One command of a build, run in `/app` (the tree) with `/cache` (this service's own) writable."""

    argv: tuple[str, ...]
    network: bool = False
    """Only for steps that resolve and download: the source's own commands run without."""
    env: Mapping[str, str] = field(default_factory=dict)
    own: bool = False
    """A command of the user (`build:`): a failure gets a hint that it has no network."""
    title: str = ""
    """What people are told that it is; the command itself when empty."""

    def __str__(self) -> str:
        if self.title:
            return self.title
        return self.argv[2] if self.argv[:2] == ("/bin/sh", "-c") else " ".join(self.argv)


@dataclass(frozen=True)
class Layer:
    """Dependencies, built apart from the source from the files that name them, and kept while those stay the same."""

    files: tuple[str, ...] | None
    """What goes into the layer's tree; None: everything, for dependencies that lie in the source itself."""
    steps: tuple[Step, ...]
    keep: tuple[str, ...]
    """What is taken over into the tree of the service, such as `.venv`."""
    lock: str | None = None
    """File that holds the resolved versions afterwards, and from which they are taken when it is there before."""


@dataclass(frozen=True)
class BuildPlan:
    """How to make the artifact. Nothing to do at all is common: then the artifact is the source as it is."""

    runtime: Runtime | None = None
    layers: tuple[Layer, ...] = ()
    steps: tuple[Step, ...] = ()
    """In the whole tree, after the layers were put into it."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Text files to add, executable when they start with `#!`."""
    links: Mapping[str, str] = field(default_factory=dict)
    """Symbolic links to add."""
    shims: Mapping[str, str] = field(default_factory=dict)
    """As `files`, but for the steps: there before them."""
    executable: tuple[str, ...] = ()
    """Files of the source to make executable."""
    drop: tuple[str, ...] = ()
    """Folders that building needed and running does not: removed at the end."""
    env: Mapping[str, str] = field(default_factory=dict)
    argv: tuple[str, ...] | None = None
    """What to run; None: to be found in the result (`find_jar`, `find_bundles`)."""
    find_jar: bool = False
    """The build makes a JAR: take the one with a Main-Class in the result."""
    find_bundles: tuple[str, ...] | None = None
    """The build makes OSGi bundles: what stands in front of those in the result. None: it does not."""
    notes: tuple[str, ...] = ()
    """Sentences for the build log: what was found, what was guessed."""
    runtimes: tuple[Runtime, ...] = ()
    """All that building and running need, the main one first."""
    beside: tuple[Runtime, ...] = ()
    """What only files of ours run with, beside those."""
    function: Function | None = None
    """Of pattern function: what starts its sandboxes."""

    def identity(self) -> dict[str, Any]:
        """All that decides the artifact's bytes; not `argv`, so that another `run` needs no new build."""
        runtime = self.runtime and {
            "name": self.runtime.name,
            "path": self.runtime.path,
            "version": self.runtime.version,
        }
        return {
            "runtime": runtime,
            "layers": [layer_identity(layer) for layer in self.layers],
            "steps": [_step_identity(step) for step in self.steps],
            "files": dict(self.files),
            "links": dict(self.links),
            "shims": dict(self.shims),
            "executable": list(self.executable),
            "drop": list(self.drop),
            "env": dict(self.env),
            "find_jar": self.find_jar,
            **({"find_bundles": list(self.find_bundles)} if self.find_bundles is not None else {}),
            **({"function": asdict(self.function)} if self.function else {}),
        }


def layer_identity(layer: Layer) -> dict[str, Any]:
    files = None if layer.files is None else list(layer.files)
    steps = [_step_identity(step) for step in layer.steps]
    return {"files": files, "steps": steps, "keep": list(layer.keep), "lock": layer.lock}


def _step_identity(step: Step) -> dict[str, Any]:
    return {"argv": list(step.argv), "network": step.network, "env": dict(step.env)}


def shell(command: str, env: Mapping[str, str] | None = None, network: bool = False, title: str = "") -> Step:
    return Step(("/bin/sh", "-c", command), network=network, env=env or {}, title=title)


def join(folder: str, path: str) -> str:
    """`join("requirements", "../base.txt")` -> `base.txt`; paths inside a source, as its files name each other."""
    return posixpath.normpath(posixpath.join(folder, path))
