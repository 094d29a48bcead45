"""What a backup is made of: a tar (POSIX.1-2001, pax) whose members stand in this order. Pure.

`fourfold-backup.json` comes first and says what follows; `SHA256SUMS` comes last, has a line for every file as
`sha256sum -c` reads it, and is the sign that nothing is missing.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from fourfold.errors import UserError

FORMAT = 1
HEADER = "fourfold-backup.json"
DATABASE = "fourfold.db"
KEYS = "keys.json"
SETTINGS = "fourfold.toml"
USAGE = "usage"
"""Journals of functions: `usage/APP.SERVICE/…`."""
SOURCES = "sources"
"""Manifests of sources by digest, of every release that there is."""
BLOBS = "blobs"
"""Their files, by digest."""
LOCKS = "locks"
"""Resolved versions of dependencies, by the digest of what asks for them."""
ARTIFACTS = "artifacts"
"""With `artifacts`: what was built, by digest."""
VOLUMES = "volumes"
"""With `volumes`: `volumes/APP/SERVICE/NAME/…`."""
SUMS = "SHA256SUMS"

ORDER = (HEADER, DATABASE, KEYS, SETTINGS, USAGE, SOURCES, BLOBS, LOCKS, ARTIFACTS, VOLUMES, SUMS)

Keys = Literal["sealed", "plain", "none"]


@dataclass(frozen=True)
class Header:
    format: int
    version: str
    """Of the Fourfold that made it."""
    store: int
    """Version of the database: `user_version`."""
    made_at: str
    host: str
    user: int
    """Whom the daemon ran as."""
    apps: tuple[str, ...]
    keys: Keys
    volumes: bool
    artifacts: bool
    running: tuple[str, ...] = ()
    """Services that ran while their volumes were read: those are as after a power cut."""
    lost: tuple[str, ...] = ()
    """Digests of sources that were not in the store any more."""

    def as_bytes(self) -> bytes:
        return json.dumps(asdict(self), indent=1, ensure_ascii=False).encode() + b"\n"

    @classmethod
    def parse(cls, content: bytes) -> Header:
        """Raises UserError for what is no header, or one of a newer format."""
        try:
            data: dict[str, Any] = json.loads(content)
            if data["format"] > FORMAT:
                raise UserError(
                    f"cannot read the backup: Fourfold {data['version']} made it, and its format {data['format']} is "
                    f"newer than {FORMAT}, which this program knows",
                    f"install Fourfold {data['version']} or newer, then restore",
                )
            lists = {name: tuple(map(str, data[name])) for name in ("apps", "running", "lost")}
            header = cls(**{**data, **lists})
            if header.keys not in get_args(Keys) or not isinstance(header.store, int):
                raise ValueError("keys or store are of another kind")
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"cannot read the backup: its {HEADER} is damaged ({error})") from error
        return header


def kind_of(name: str) -> str | None:
    """Which of `ORDER` a member belongs to; None for what no backup has."""
    top = name.partition("/")[0]
    return top if top in ORDER else None


def sum_line(digest: str, name: str) -> bytes:
    """As sha256sum(1) writes it: a name with a backslash or a line break is escaped, and its line begins with one."""
    raw = os.fsencode(name)
    escaped = re.sub(rb"[\\\n\r]", lambda found: {b"\\": b"\\\\", b"\n": b"\\n", b"\r": b"\\r"}[found[0]], raw)
    return (b"\\" if escaped != raw else b"") + digest.encode() + b"  " + escaped + b"\n"
