"""Artifacts: finished trees, each with what it takes to run it. Published by one rename, read-only ever after.

Input-addressed: an artifact's digest is its build key, the SHA-256 over everything that went into it (source, steps,
dependencies, runtime, libc). Steps run in a sandbox against locked versions, so inputs decide the output, and a build
can be skipped without having its output. On disk: `artifacts/DIGEST/tree` and `artifacts/DIGEST/artifact.json`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from fourfold.errors import NotFoundError, WorldError
from fourfold.paths import Paths
from fourfold.store.files import trees
from fourfold.store.files.blobs import Kept, require_digest
from fourfold.store.files.sources import write_atomically
from fourfold.store.manifest import is_digest
from fourfold.store.tables.locks import Lock as Lock
from fourfold.store.tables.locks import Locks


@dataclass(frozen=True)
class Image:
    """What a container sees around the artifact's tree, and how the image itself says to run."""

    layers: tuple[str, ...]
    """Digests of unpacked layers in `store.files.images`, lowest first."""
    env: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    """As images say it: `1000`, `1000:1000`, `nginx`; empty: the service's own user, or root where it has no source."""
    cwd: str = "/app"
    stop_signal: str | None = None
    dependencies: tuple[str, ...] = ()
    """Paths in the tree that are a layer of their own when the image is exported, such as `.venv`."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Of the image or base, which an exported image has too."""


@dataclass(frozen=True)
class Boot:
    """What a virtual machine boots: digests of files in `store.files.disks`."""

    kernel: str
    """An uncompressed Linux, as `qemu -kernel` starts it by PVH."""
    initrd: str
    disks: tuple[str, ...]
    """Read-only file systems, lowest first: the base, then what the service adds at `/app`."""
    init: str = ""
    """The program that `initrd` begins with, which forwards connections on the host too; empty in old artifacts."""

    @property
    def files(self) -> tuple[str, ...]:
        return (self.kernel, self.initrd, *self.disks, *((self.init,) if self.init else ()))


@dataclass(frozen=True)
class Function:
    """What starts a sandbox of pattern function. Paths are as it sees them: the tree is at /var/task and at /app."""

    kind: Literal["python", "nodejs", "java", "provided"]
    argv: tuple[str, ...]
    """The runtime's client with its interpreter, or `/var/task/bootstrap`; of kind python: the interpreter alone, which
    runs the fork server."""
    handler: str = ""
    """Empty: a web service behind the adapter, which starts `Artifact.argv`."""
    env: Mapping[str, str] = field(default_factory=dict)
    """PATH, PYTHONPATH, NODE_PATH, …; the service's own `env` wins."""
    layers: tuple[str, ...] = ()
    """Folders of the tree, relative to it, each shown at /opt over the ones before it."""
    memory: int = 128 * 1024 * 1024
    """Bytes allotted where `resources.memory` does not say."""


@dataclass(frozen=True)
class Artifact:
    """What a build gave. Paths in `argv` and `env` are as the instance sees them: the tree is at `/app`."""

    digest: str
    tree: Path
    argv: tuple[str, ...]
    """What to run: `run` as given, or what the builder found."""
    env: Mapping[str, str] = field(default_factory=dict)
    """To add to the service's environment: PATH, PYTHONUNBUFFERED, … ; the service's own `env` wins."""
    runtime: str | None = None
    """`python3.11`, `nodejs20`, `java17`, …; None when it needs none."""
    source: str = ""
    locks: Mapping[str, Lock] = field(default_factory=dict)
    """Key of the dependencies -> their lock; a later build of the same dependencies starts from it."""
    size: int = 0
    """Bytes on disk."""
    built_at: float = 0.0
    image: Image | None = None
    """Of patterns container and vm; `tree` is empty when the image is ready-made."""
    boot: Boot | None = None
    """Of pattern vm, and of containers in light virtual machines."""
    function: Function | None = None
    """Of pattern function; `argv` is then what the adapter starts, if anything."""

    def located(self, tree: Path) -> Artifact:
        """The same for a host that cannot mount the tree at /app: paths are those of `tree`."""
        return replace(
            self,
            tree=tree,
            argv=tuple(relocate(word, tree) for word in self.argv),
            env={name: relocate(value, tree) for name, value in self.env.items()},
        )


def relocate(text: str, tree: Path) -> str:
    """`/app` and `/app/…` in a word or a colon-separated list become `tree` and `tree/…`."""
    parts = text.split(":")
    return ":".join(f"{tree}{part[4:]}" if part == "/app" or part.startswith("/app/") else part for part in parts)


class Artifacts:
    def __init__(self, paths: Paths) -> None:
        self._root = paths.artifacts
        self._locks = Locks(paths.locks)

    def tree(self, digest: str) -> Path:
        return self._root / require_digest(digest) / "tree"

    def find(self, build_key: str) -> Artifact | None:
        """The artifact built from these inputs, marked as just used; None when it must be built."""
        try:
            artifact = self.get(build_key)
        except NotFoundError:
            return None
        self.use(build_key)
        return artifact

    def has(self, digest: str) -> bool:
        return self._json(digest).is_file()

    def get(self, digest: str) -> Artifact:
        try:
            data = json.loads(self._json(digest).read_bytes())
        except FileNotFoundError:
            raise NotFoundError(
                f"cannot find the artifact {digest[:12]}: it is not in the store",
                "`fourfold up` builds it again",
            ) from None
        return _from_json(data, self.tree(digest))

    def publish(self, artifact: Artifact) -> Artifact:
        """Take over the sealed folder `artifact.tree` (on the same file system) and make the artifact findable."""
        folder = self._root / require_digest(artifact.digest)
        staged = artifact.tree.parent / f"{artifact.digest}.publish"
        try:
            staged.mkdir()
            artifact.tree.chmod(0o755)  # without root, a folder that is not writable cannot be moved
            artifact.tree.rename(staged / "tree")
            (staged / "tree").chmod(0o555)
            write_atomically(staged / "artifact.json", json.dumps(_as_json(artifact), indent=1).encode())
            self._root.mkdir(parents=True, exist_ok=True)
            trees.sync(staged)
            if self._json(artifact.digest).exists():
                trees.remove(staged)
            else:
                trees.remove(folder)  # what a removal that broke off has left
                staged.rename(folder)
            trees.sync_folder(self._root)
        except OSError as error:
            raise WorldError(f"cannot store the artifact: {error.strerror}", "make room on the disk") from error
        return self.get(artifact.digest)

    def use(self, digest: str) -> None:
        """Mark it as used now, so that gc leaves it until what asked for it has written a release."""
        os.utime(self._json(digest))

    def lock(self, key: str) -> Lock | None:
        """The newest lock of the dependencies `key`."""
        newest = self._locks.get(key)
        for kept in self.list():
            try:
                artifact = self.get(kept.digest)
            except NotFoundError:  # half removed
                continue
            if key in artifact.locks and (newest is None or artifact.built_at > newest[0]):
                newest = (artifact.built_at, artifact.locks[key])
        return newest[1] if newest else None

    def list(self) -> Iterator[Kept]:
        """Also what a removal that broke off has left."""
        if self._root.is_dir():
            for folder in sorted(self._root.iterdir()):
                record = folder / "artifact.json"
                if is_digest(folder.name) and record.is_file():
                    yield Kept(folder.name, self.get(folder.name).size, record.stat().st_mtime)
                elif is_digest(folder.name):
                    yield Kept(folder.name, 0, folder.stat().st_mtime)

    def remove(self, digest: str) -> int:
        """Gives the bytes freed. The record goes first: a removal that breaks off leaves nothing that can be found."""
        self._json(digest).unlink(missing_ok=True)
        return trees.remove(self._root / require_digest(digest))

    def _json(self, digest: str) -> Path:
        return self._root / require_digest(digest) / "artifact.json"


def _as_json(artifact: Artifact) -> dict[str, Any]:
    return {
        "digest": artifact.digest,
        "argv": list(artifact.argv),
        "env": dict(artifact.env),
        "runtime": artifact.runtime,
        "source": artifact.source,
        "locks": {key: {"name": lock.name, "text": lock.text} for key, lock in artifact.locks.items()},
        "size": artifact.size,
        "built_at": artifact.built_at,
        "image": asdict(artifact.image) if artifact.image else None,
        "boot": asdict(artifact.boot) if artifact.boot else None,
        "function": asdict(artifact.function) if artifact.function else None,
    }


def _from_json(data: dict[str, Any], tree: Path) -> Artifact:
    return Artifact(
        digest=data["digest"],
        tree=tree,
        argv=tuple(data["argv"]),
        env=data["env"],
        runtime=data["runtime"],
        source=data["source"],
        locks={key: Lock(**lock) for key, lock in data["locks"].items()},
        size=data["size"],
        built_at=data["built_at"],
        image=image_from_json(data["image"]) if data.get("image") else None,
        boot=_boot_from_json(data["boot"]) if data.get("boot") else None,
        function=_function_from_json(data["function"]) if data.get("function") else None,
    )


def _boot_from_json(data: dict[str, Any]) -> Boot:
    return Boot(data["kernel"], data["initrd"], tuple(data["disks"]), data.get("init", ""))


def _function_from_json(data: dict[str, Any]) -> Function:
    return Function(**{**data, "argv": tuple(data["argv"]), "layers": tuple(data["layers"])})


def image_from_json(data: dict[str, Any]) -> Image:
    """From what `dataclasses.asdict` makes of one."""
    return Image(**{**data, "layers": tuple(data["layers"]), "dependencies": tuple(data["dependencies"])})
