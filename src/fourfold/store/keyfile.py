"""The key that secrets are encrypted with: 32 random bytes in a file of mode 0600, base64 on one line.

From it come two keys (HMAC-SHA256 as the pseudorandom function), so that none is used for two purposes.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import secrets
import stat
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from fourfold.errors import WorldError
from fourfold.store.files import trees

KEY_BYTES = 32


@dataclass(frozen=True)
class Keys:
    encryption: bytes = field(repr=False)
    digest: bytes = field(repr=False)

    @classmethod
    def derive(cls, master: bytes) -> Keys:
        return cls(encryption=_derive(master, "encryption"), digest=_derive(master, "digest"))

    @property
    def check(self) -> str:
        """Tells this key from another without revealing it."""
        return hmac.digest(self.digest, b"fourfold secrets check", "sha256").hex()


def _derive(master: bytes, purpose: str) -> bytes:
    return hmac.digest(master, f"fourfold secrets {purpose}".encode(), "sha256")


def read(path: Path) -> Keys | None:
    """The keys, or None without a file. Raises WorldError for a file that others can read or that holds no key."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise WorldError(
            f"cannot read the key of secrets {path}: {error.strerror}", "the daemon's user must own it"
        ) from error
    try:
        _require_private(path, os.fstat(descriptor))
        return Keys.derive(_decode(path, os.read(descriptor, 1024)))
    finally:
        os.close(descriptor)


def _require_private(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise WorldError(f"cannot use the key of secrets {path}: it is not a file", "put the key file there")
    if found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise WorldError(
            f"cannot use the key of secrets {path}: others can read it "
            f"(owner {found.st_uid}, mode {stat.S_IMODE(found.st_mode):04o})",
            f"if nobody has read it: chown {os.geteuid()} {path} && chmod 0600 {path}; else set every secret anew",
        )


def _decode(path: Path, content: bytes) -> bytes:
    master = None
    with suppress(binascii.Error, ValueError):
        master = base64.b64decode(content.strip(), validate=True)
    if master is None or len(master) != KEY_BYTES:
        raise WorldError(f"cannot use the key of secrets {path}: it holds no key", "put the key file's backup there")
    return master


def make(path: Path) -> Keys:
    """A new key, on disk for good when this returns; never over a file that is there."""
    master = secrets.token_bytes(KEY_BYTES)
    half = path.with_name(path.name + ".new")
    try:
        half.unlink(missing_ok=True)  # of a daemon that died here: the key was in no use yet
        with os.fdopen(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(base64.b64encode(master) + b"\n")
            file.flush()
            os.fchmod(file.fileno(), 0o600)
            os.fsync(file.fileno())
        os.link(half, path)  # unlike a rename it fails when there is a key
        half.unlink()
        trees.sync_folder(path.parent)
    except OSError as error:
        raise WorldError(
            f"cannot make the key of secrets {path}: {error.strerror}", f"see that {path.parent} can be written to"
        ) from error
    return Keys.derive(master)
