"""Booted virtual machines that new ones continue from: their memory, and the state of their devices.

On disk: `templates/KEY/memory`, `state` and `template.json`, published by one rename. KEY says all that must be the
same for a machine to go on from there (`launch.template`). The memory belongs to the service's own user: QEMU opens it
for writing though it never writes there. So what the files are (inode, size, time of the last change, which no user can
set) stands in `template.json`, and one that somebody has touched is none any more.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import uuid
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from fourfold.errors import WorldError
from fourfold.paths import Paths
from fourfold.store.files import trees
from fourfold.store.files.blobs import Kept, require_digest
from fourfold.store.garbage.gc import FRESH_SECONDS, Collected
from fourfold.store.manifest import is_digest

log = logging.getLogger(__name__)

MEMORY, STATE = "memory", "state"
_RECORD, _SYNCED = "template.json", "synced"


@dataclass(frozen=True)
class Origin:
    """What a template was made for."""

    app: str
    service: str
    artifact: str
    """Digest of what it booted."""
    boot_id: str
    """Of the host. After a restart of it, only what had reached the disk is what was written."""


class Templates:
    def __init__(self, paths: Paths) -> None:
        self._root = paths.templates
        self._work = paths.work

    def find(self, key: str, boot_id: str) -> Path | None:
        """Its folder, marked as just used; None when there is none, or none to be trusted: that one is removed."""
        folder = self._root / require_digest(key)
        try:
            record = json.loads((folder / _RECORD).read_bytes())
            intact = record["files"] == _look(folder)
            lasting = record["origin"]["boot_id"] == boot_id or (folder / _SYNCED).exists()
            if intact and lasting:
                os.utime(folder)
                return folder
        except FileNotFoundError:
            if not folder.exists():
                return None
        except (OSError, ValueError, KeyError, TypeError):
            pass
        self.remove(key)
        return None

    def publish(self, key: str, staged: Path, origin: Origin) -> Path:
        """Take over the folder `staged`, on the same file system, with MEMORY and STATE in it; gives its new place.

        Neither may be changed any more. It need not be on the disk yet, see `sync`. Raises WorldError.
        """
        folder = self._root / require_digest(key)
        try:
            record = {"origin": asdict(origin), "files": _look(staged)}
            (staged / _RECORD).write_text(json.dumps(record))
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.remove(key)
            staged.rename(folder)
        except OSError as error:
            raise WorldError(f"cannot store the template: {error.strerror}", "make room on the disk") from error
        return folder

    def sync(self, key: str) -> None:
        """Have it written to the disk, which takes a while: from then on it is good after a restart of the host too."""
        folder = self._root / require_digest(key)
        try:
            trees.sync(folder)
            (folder / _SYNCED).touch()
            trees.sync_folder(folder)
        except OSError as error:  # removed meanwhile, or no room
            log.info("the template %s lasts until the host restarts: %s", key, error)

    def list(self) -> Iterator[Kept]:
        if self._root.is_dir():
            for folder in sorted(self._root.iterdir()):
                with suppress(FileNotFoundError):  # thrown away meanwhile: it was touched, or useless
                    if is_digest(folder.name):
                        yield Kept(folder.name, trees.size_of(folder), folder.stat().st_mtime)

    def origin(self, key: str) -> Origin | None:
        try:
            return Origin(**json.loads((self._root / require_digest(key) / _RECORD).read_bytes())["origin"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def remove(self, key: str) -> int:
        """Gives the bytes freed. Machines that go on from it keep its memory until they end."""
        away = self._work / f"template-{uuid.uuid4().hex}"
        try:
            (self._root / require_digest(key)).rename(away)  # at once: `sync` may be writing to it
        except FileNotFoundError:
            return 0
        freed = trees.size_of(away)
        shutil.rmtree(away, ignore_errors=True)
        return freed


def _look(folder: Path) -> dict[str, Any]:
    found = {name: (folder / name).lstat() for name in (MEMORY, STATE)}
    return {name: [each.st_ino, each.st_size, each.st_ctime_ns] for name, each in found.items()}


def sweep_templates(templates: Templates, current: Collection[str], now: float) -> Collected:
    """Remove those that no service starts from now. `current`: digests of the artifacts that services run from.

    Of each there, the one used last stays: others are of an earlier release, QEMU or size of the machine. They are
    large, and made again in the time that a machine takes to boot.
    """
    count = freed = 0
    seen: set[Origin] = set()
    for kept in sorted(templates.list(), key=lambda each: each.used_at, reverse=True):
        origin = templates.origin(kept.digest)
        origin = replace(origin, boot_id="") if origin is not None else None
        starts = origin is not None and origin.artifact in current and origin not in seen
        if origin is not None:
            seen.add(origin)
        if not starts and kept.used_at < now - FRESH_SECONDS:
            freed += templates.remove(kept.digest)
            count += 1
    return Collected({"templates": count}, freed)
