"""Names of disks: the SHA-256 of all that decides their bytes, so that what is there is known without making it."""

from __future__ import annotations

import json
from hashlib import sha256

FORMAT = 1
"""Part of every key: raise it when the same inputs are to give other bytes than before."""


def disk_key(kind: str, *facts: object) -> str:
    return sha256(json.dumps(["disk", FORMAT, kind, *facts], sort_keys=True).encode()).hexdigest()
