"""Files that must stay secret, in a backup: sealed with a passphrase, or plain where that was asked for.

Sealed: AES-256-GCM under a key that scrypt (RFC 7914) makes of the passphrase. 32 MiB and some 0.1 s for each guess.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from typing import Any

from fourfold.errors import UserError

SHORTEST = 10
"""Letters of a passphrase."""
_N, _R, _P = 2**15, 8, 1
_MOST_MEMORY = 512 * 1024**2
"""Bytes that opening one may take, whatever it asks for."""
_MOST_P = 16
"""And how many times the work that takes them: half a minute at most."""
_BOUND_TO = b"fourfold backup keys 1"


def check_passphrase(passphrase: str) -> None:
    """Raises UserError for one that is no protection."""
    if len(passphrase) < SHORTEST:
        raise UserError(f"cannot seal the keys: a passphrase has at least {SHORTEST} characters")


def sealed(files: Mapping[str, bytes], passphrase: str) -> bytes:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # slow to import, and seldom needed

    salt, nonce = os.urandom(16), os.urandom(12)
    data = AESGCM(_key(passphrase, salt, _N, _R, _P)).encrypt(nonce, _plain(files), _BOUND_TO)
    kdf = {"name": "scrypt", "n": _N, "r": _R, "p": _P, "salt": _text(salt)}
    return json.dumps({"kdf": kdf, "nonce": _text(nonce), "data": _text(data)}, indent=1).encode() + b"\n"


def plain(files: Mapping[str, bytes]) -> bytes:
    return json.dumps({"kdf": None, "data": _text(_plain(files))}, indent=1).encode() + b"\n"


def opened(content: bytes, passphrase: Callable[[], str]) -> dict[str, bytes]:
    """Name -> content; `passphrase` is asked if it takes one. Raises UserError."""
    try:
        vault = json.loads(content)
        data = base64.b64decode(vault["data"], validate=True)
        if vault["kdf"] is not None:
            data = _unsealed(vault, data, passphrase())
        return {str(name): base64.b64decode(each, validate=True) for name, each in json.loads(data).items()}
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error) as error:
        raise UserError("cannot read the backup: its keys are damaged") from error


def _unsealed(vault: Mapping[str, Any], data: bytes, passphrase: str) -> bytes:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    kdf = vault["kdf"]
    if int(kdf["p"]) > _MOST_P:
        raise ValueError("its scrypt asks for hours")
    key = _key(passphrase, base64.b64decode(kdf["salt"]), int(kdf["n"]), int(kdf["r"]), int(kdf["p"]))
    try:
        return AESGCM(key).decrypt(base64.b64decode(vault["nonce"]), data, _BOUND_TO)
    except InvalidTag:
        raise UserError(
            "cannot open the keys in the backup: it is not this passphrase; nothing was changed",
            "give the one that it was made with; `--without-keys` restores all but what is secret",
        ) from None


def _key(passphrase: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(passphrase.encode(), salt=salt, n=n, r=r, p=p, maxmem=_MOST_MEMORY, dklen=32)


def _plain(files: Mapping[str, bytes]) -> bytes:
    return json.dumps({name: _text(content) for name, content in files.items()}).encode()


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
