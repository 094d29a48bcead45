"""The key pair of Lambda's API, made with the daemon's first start."""

from __future__ import annotations

import json
import secrets
import stat
import string
from dataclasses import dataclass
from pathlib import Path

from fourfold.errors import UserError, WorldError
from fourfold.store.files.sources import write_atomically


@dataclass(frozen=True)
class Keys:
    id: str
    secret: str


def load(path: Path) -> Keys:
    """Those of the file, which is made when there is none. Raises UserError for one that others can read."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return _make(path)
    if stat.S_IMODE(mode) & 0o077:
        raise UserError(f"cannot use {path}: others can read it", f"chmod 600 {path}; or remove it: a new one is made")
    try:
        told = json.loads(path.read_text())
        return Keys(str(told["aws_access_key_id"]), str(told["aws_secret_access_key"]))
    except OSError as error:
        raise WorldError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"cannot use {path}: it has no aws_access_key_id and aws_secret_access_key",
            "remove it: a new one is made when the daemon starts",
        ) from error


def _make(path: Path) -> Keys:
    letters = string.ascii_uppercase + "234567"
    keys = Keys("AKIA" + "".join(secrets.choice(letters) for _ in range(16)), secrets.token_urlsafe(30))
    told = {"aws_access_key_id": keys.id, "aws_secret_access_key": keys.secret}
    write_atomically(path, json.dumps(told, indent=2).encode() + b"\n", 0o600)
    return keys
