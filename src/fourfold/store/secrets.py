"""Secrets: encrypted at rest with AES-256-GCM, in the clear only in the memory of who starts an instance.

A stored value is nonce (12 bytes) + ciphertext + tag (16 bytes), bound to its app and name: a value copied to another
row does not decrypt. No value appears in an exception, a repr or a log.
"""

from __future__ import annotations

import hmac
import json
import os
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from fourfold.clock import Clock
from fourfold.errors import NotFoundError, UserError, WorldError
from fourfold.store import keyfile
from fourfold.store.db import Database
from fourfold.store.keyfile import Keys
from fourfold.store.model import SecretInfo
from fourfold.store.tables.meta import Meta
from fourfold.store.tables.rows import Table

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

INFO = Table("secrets", SecretInfo, key=("app", "name"))
"""Reads what may be told; the column `value` is not among its fields."""

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
MOST_BYTES = 64 * 1024
NONCE_BYTES = 12
KEY_CHECK = "secrets.key-check"
"""Name in `meta` of `Keys.check` of the key that the stored secrets were encrypted with."""


class Secrets:
    def __init__(self, database: Database, key_file: Path, clock: Clock) -> None:
        self._database = database
        self._key_file = key_file
        self._clock = clock

    def set_many(self, app: str, values: Mapping[str, str]) -> None:
        """Set all of them or none. Raises UserError that names every one that is not fit to be stored."""
        if problems := [problem for name, value in values.items() if (problem := _problem(name, value))]:
            raise UserError("cannot set secrets: " + "; ".join(problems))
        if not values:
            return
        with self._database.transaction():
            cipher = _cipher(self._keys())
            now = self._clock.now()
            for name, value in values.items():
                nonce = os.urandom(NONCE_BYTES)
                stored = nonce + cipher.encrypt(nonce, value.encode(), _bound_to(app, name))
                self._database.execute(
                    "INSERT INTO secrets (app, name, value, updated_at) VALUES (?, ?, ?, ?) ON CONFLICT (app, name)"
                    " DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at",
                    (app, name, stored, now),
                )

    def names(self, app: str) -> list[SecretInfo]:
        """All that is told about an app's secrets, by name. Needs no key."""
        return INFO.select(self._database, "WHERE app = ? ORDER BY name", app)

    def resolve(self, app: str, names: Iterable[str]) -> dict[str, str]:
        """The values. Raises UserError that names every one that is not set, WorldError without the right key."""
        wanted = list(dict.fromkeys(names))
        if not wanted:
            return {}
        stored = {
            name: bytes(value)
            for name, value in self._database.query("SELECT name, value FROM secrets WHERE app = ?", (app,))
        }
        if missing := [name for name in wanted if name not in stored]:
            raise UserError(
                f"cannot find the {'secret' if len(missing) == 1 else 'secrets'} {', '.join(missing)} of app {app}: "
                "not set yet",
                " && ".join(f"fourfold secrets set {name}" for name in missing),
            )
        cipher = _cipher(self._keys())
        return {name: _decrypt(cipher, app, name, stored[name]) for name in wanted}

    def digest(self, app: str, names: Iterable[str]) -> str:
        """Changes when a value does and tells nothing else: HMAC-SHA256 in hex; "" for no names.

        Raises what `resolve` raises.
        """
        values = self.resolve(app, names)
        if not values:
            return ""
        message = json.dumps([app, sorted(values.items())]).encode()
        return hmac.digest(self._keys().digest, message, "sha256").hex()

    def seal(self, app: str, what: str, value: str) -> bytes:
        """Encrypted as a secret is, to be kept elsewhere, where `what` is the same only for this. As `set_many`."""
        cipher = _cipher(self._keys())
        nonce = os.urandom(NONCE_BYTES)
        return nonce + cipher.encrypt(nonce, value.encode(), _bound_to(app, f"{what}:"))  # no secret's name has a colon

    def unseal(self, app: str, what: str, sealed: bytes) -> str:
        """Raises WorldError without the right key, or when it is damaged."""
        return _decrypt(_cipher(self._keys()), app, f"{what}:", sealed)

    def remove(self, app: str, names: Collection[str]) -> None:
        """All or none. Raises NotFoundError, which lists the names that are set."""
        there = [info.name for info in self.names(app)]
        if missing := [name for name in names if name not in there]:
            raise NotFoundError(
                f"cannot remove {', '.join(missing)} of {app}: not set; nothing was removed",
                f"set are: {', '.join(there) or 'none'}",
            )
        with self._database.transaction():
            for name in names:
                INFO.remove(self._database, app, name)

    def remove_app(self, app: str) -> int:
        """Forget all secrets of an app (`down --purge`); how many that were."""
        return INFO.delete(self._database, "WHERE app = ?", app)

    def _keys(self) -> Keys:
        """The key that all stored secrets are encrypted with; made before the first is stored.

        With secrets stored, a key that is missing or another is an error: writing on would mix two keys.
        """
        keys = keyfile.read(self._key_file)
        meta = Meta(self._database)
        if self._database.query("SELECT 1 FROM secrets UNION ALL SELECT 1 FROM hooks LIMIT 1"):
            return self._right(keys, meta.get(KEY_CHECK) or "")
        keys = keys or keyfile.make(self._key_file)
        meta.put(KEY_CHECK, keys.check)
        return keys

    def _right(self, keys: Keys | None, check: str) -> Keys:
        hint = "put its backup there; without it, remove every secret and set it anew"
        if keys is None:
            raise WorldError(f"cannot use secrets: their key file {self._key_file} is missing", hint)
        if not hmac.compare_digest(keys.check, check):
            raise WorldError(f"cannot use secrets: {self._key_file} is not the key that they were encrypted with", hint)
        return keys


def _problem(name: str, value: str) -> str | None:
    """Why a secret cannot be stored, without a word of its value."""
    if not NAME.fullmatch(name):
        return f"the name {name!r} may have letters, digits, _ and -, and begins with a letter or _"
    size = len(value.encode("utf-8", errors="surrogatepass"))
    if any("\ud800" <= letter <= "\udfff" for letter in value):
        return f"{name} is not UTF-8 text"
    if "\0" in value:
        return f"{name} has a NUL byte in it"
    return f"{name} has {size:,} bytes, more than {MOST_BYTES:,}" if size > MOST_BYTES else None


def _cipher(keys: Keys) -> AESGCM:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # slow to import, and seldom needed

    return AESGCM(keys.encryption)


def _decrypt(cipher: AESGCM, app: str, name: str, stored: bytes) -> str:
    from cryptography.exceptions import InvalidTag

    try:
        value = cipher.decrypt(stored[:NONCE_BYTES], stored[NONCE_BYTES:], _bound_to(app, name))
    except (InvalidTag, ValueError) as error:
        raise WorldError(
            f"cannot read secret {name} of app {app}: what is stored is damaged", f"fourfold secrets set {name}"
        ) from error
    return value.decode()


def _bound_to(app: str, name: str) -> bytes:
    return json.dumps([app, name]).encode()
