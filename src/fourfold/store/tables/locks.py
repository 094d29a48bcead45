"""Locks: the versions that dependencies were resolved to. They are part of artifacts; a backup keeps them apart too,
so that what is built again on another machine has the same versions."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from fourfold.store.files.blobs import require_digest
from fourfold.store.files.sources import write_atomically


@dataclass(frozen=True)
class Lock:
    """What the package manager wrote, under its own file name."""

    name: str
    text: str


class Locks:
    """A folder with a file for each key."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def get(self, key: str) -> tuple[float, Lock] | None:
        """When what has it was built (epoch), and the lock."""
        try:
            return parse((self._root / require_digest(key)).read_bytes())
        except (OSError, ValueError):
            return None

    def put(self, key: str, built_at: float, lock: Lock) -> None:
        self._root.mkdir(mode=0o700, exist_ok=True)
        write_atomically(self._root / require_digest(key), as_bytes(built_at, lock))


def as_bytes(built_at: float, lock: Lock) -> bytes:
    return json.dumps({"built_at": built_at, "name": lock.name, "text": lock.text}).encode()


def parse(content: bytes) -> tuple[float, Lock]:
    """Raises ValueError for what is none."""
    try:
        data = json.loads(content)
        return float(data["built_at"]), Lock(str(data["name"]), str(data["text"]))
    except (KeyError, TypeError) as error:
        raise ValueError("it is no lock") from error
