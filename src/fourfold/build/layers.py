"""Dependency layers: what package managers installed, kept per service by the files that asked for it.

On disk: `caches/APP.SERVICE/layers/KEY/` with the kept folders below `tree/` and the lock file beside it. A layer is
sealed: builds get its files as hard links, which they may replace but not change. Layers are never shared between
services, so that a package's install script can only harm the service that asked for it.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fourfold.build.model import Host, Layer, Listing, Runtime, layer_identity
from fourfold.store.files import trees
from fourfold.store.files.artifacts import Lock

KEEP = 6
"""Layers kept per service: of this build and of the last ones, for going back and forth. A handler has two at a time,
its dependencies and the client, under each pattern that it moves between."""


@dataclass(frozen=True)
class Kept:
    key: str
    tree: Path
    lock: Lock | None


def layer_key(layer: Layer, listing: Listing, host: Host, runtime: Runtime | None, scope: str) -> str:
    """SHA-256 over all that decides what is installed, but not over the lock that comes of it."""
    version = runtime and [runtime.name, runtime.version]
    facts = [scope, host.abi, version, layer_identity(layer), _files(layer, listing)]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def lock_key(layer: Layer, listing: Listing, runtime: Runtime | None, scope: str) -> str:
    """SHA-256 over what asks for the dependencies. The versions found for one system serve for others too: a service
    that moves between a process and a container, or to a newer base, keeps them."""
    facts = [scope, runtime and runtime.name, layer.lock, list(layer.keep), _files(layer, listing)]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _files(layer: Layer, listing: Listing) -> dict[str, Any]:
    names = [entry.path for entry in listing.manifest.entries] if layer.files is None else list(layer.files)
    return {name: listing.entries[name].as_json() for name in names}


class Layers:
    """The layers of one service."""

    def __init__(self, folder: Path, link: bool) -> None:
        self._root = folder
        self._link = link

    def find(self, key: str) -> Kept | None:
        folder = self._root / key
        try:
            data = json.loads((folder / "lock.json").read_bytes())
        except FileNotFoundError:
            return None
        os.utime(folder)
        return Kept(key, folder / "tree", Lock(**data) if data else None)

    def keep(self, key: str, layer: Layer, built: Path, owner: tuple[int, int] | None) -> Kept:
        """Take what is to be kept out of the finished work tree `built`; older layers beyond KEEP go."""
        staged = built.parent / "layer"
        (staged / "tree").mkdir(parents=True)
        for name in layer.keep:
            if (made := trees.folder_in(built, name)) is not None:
                (staged / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
                made.rename(staged / "tree" / name)
        lock = _read_lock(built, layer)
        (staged / "lock.json").write_text(json.dumps({"name": lock.name, "text": lock.text} if lock else None))
        trees.seal(staged / "tree", owner)
        self._root.mkdir(parents=True, exist_ok=True)
        target = self._root / key
        trees.remove(target)
        trees.sync(staged)
        staged.rename(target)
        self._trim()
        return Kept(key, target / "tree", lock)

    def put(self, kept: Kept, layer: Layer, into: Path) -> None:
        """Bring the kept folders and the lock into a work tree."""
        for name in layer.keep:
            if (folder := trees.folder_in(kept.tree, name)) is not None:
                target = into / name
                trees.remove(target)
                trees.copy(folder, target, self._link)
        if kept.lock is not None:
            write_lock(kept.lock, into)

    def _trim(self) -> None:
        folders = sorted(self._root.iterdir(), key=lambda folder: folder.stat().st_mtime, reverse=True)
        for folder in folders[KEEP:]:
            trees.remove(folder)


def write_lock(lock: Lock, into: Path) -> None:
    """Put a lock where the package manager looks for it, unless the source has one of its own."""
    place = into / lock.name
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(lock.text)


def _read_lock(built: Path, layer: Layer) -> Lock | None:
    if layer.lock is None:
        return None
    folder, _, name = layer.lock.rpartition("/")
    parent = trees.folder_in(built, folder) if folder else built
    place = parent / name if parent else None
    if place is None or place.is_symlink() or not place.is_file():
        return None
    return Lock(layer.lock, place.read_text(errors="replace"))
