"""SHA-256 of files that have not changed since the last look, on the machine where `fourfold up` is typed.

A file counts as unchanged while path, size, mtime, ctime and inode are the same. A file that changed just before it was
hashed is hashed again the next time: a second change within the clock's tick would leave no trace (git calls such
entries racily clean). The cache is only a cache: unreadable or damaged, it is as if empty.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path

from fourfold.errors import UserError

_TICK_NS = 100_000_000
"""More than a tick of any kernel's file clock (10 ms at worst)."""
_COARSE_NS = 2_000_000_000
"""For file systems that keep whole seconds only."""
_VERSION = 1

Known = list[int | str]


def cache_folder(environ: Mapping[str, str]) -> Path | None:
    """`$FOURFOLD_HOME/cache`, else the XDG cache folder."""
    if home := environ.get("FOURFOLD_HOME"):
        return Path(home).absolute() / "cache"
    if base := environ.get("XDG_CACHE_HOME"):
        return Path(base) / "fourfold"
    return Path(environ["HOME"]) / ".cache/fourfold" if environ.get("HOME") else None


class HashCache:
    """For the files of one source."""

    def __init__(self, folder: Path | None, root: Path) -> None:
        name = hashlib.sha256(os.fsencode(root)).hexdigest()[:32]
        self._file = folder / f"hashes-{name}.json" if folder else None
        self._old: dict[str, Known] = self._load()
        self._new: dict[str, Known] = {}
        self._changed = False

    def digest(self, path: str, name: str, status: os.stat_result) -> str:
        """SHA-256 of the file. Raises UserError when it cannot be read or changes meanwhile."""
        marks: Known = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
        known = self._old.get(name)
        if known is not None and known[:4] == marks:
            self._new[name] = known
            return str(known[4])
        began = time.time_ns()
        digest = _hash(path, status)
        coarse = status.st_ctime_ns % 1_000_000_000 == 0
        self._changed = True
        if max(status.st_ctime_ns, status.st_mtime_ns) < began - (_COARSE_NS if coarse else _TICK_NS):
            self._new[name] = [*marks, digest]
        return digest

    def save(self) -> None:
        """Best effort: without a place to write, the next pack hashes again."""
        if self._file is None or not (self._changed or len(self._new) != len(self._old)):
            return
        content = json.dumps({"version": _VERSION, "files": self._new}, separators=(",", ":"))
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            import tempfile  # late: the cache is mostly as it was

            handle, temporary = tempfile.mkstemp(dir=self._file.parent)
            with os.fdopen(handle, "w", errors="surrogateescape") as file:
                file.write(content)
            Path(temporary).replace(self._file)
        except OSError:
            return

    def _load(self) -> dict[str, Known]:
        if self._file is None:
            return {}
        try:
            data = json.loads(self._file.read_bytes())
            files = data["files"] if data["version"] == _VERSION else {}
            return {name: marks for name, marks in files.items() if len(marks) == 5}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}


def _hash(path: str, expected: os.stat_result) -> str:
    try:
        with Path(path).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            after = os.fstat(file.fileno())
    except OSError as error:
        raise UserError(
            f"cannot pack {path!r}: {error.strerror}", "make it readable, or name it in .fourfoldignore"
        ) from None
    if (after.st_size, after.st_mtime_ns, after.st_ino) != (expected.st_size, expected.st_mtime_ns, expected.st_ino):
        raise UserError(f"cannot pack {path!r}: it changed while it was read", "run it again when it is written")
    return digest
