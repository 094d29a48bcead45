"""Who may pass a route with `auth`: a secret's lines as the gateway has them, hashed. Read once, until one changes.

A route whose secret cannot be read lets nobody in.
"""

from __future__ import annotations

import hmac
import logging
import re
from collections.abc import Callable
from functools import partial

from fourfold.errors import FourfoldError, UserError
from fourfold.gateway.model import Auth
from fourfold.spec.gateway import BasicAuth
from fourfold.store.secrets import Secrets

log = logging.getLogger(__name__)

AuthOf = Callable[[BasicAuth], Auth]
NOBODY = "00"
_NAME = re.compile(r"[!-9;-~]{1,128}")
_HASHED = re.compile(r"\$(apr1|1|2[abxy]?|5|6|7|y)\$.|\{SHA\}.")


class Passwords:
    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets
        self._known: dict[tuple[str, str], Auth] = {}
        """(app, secret)."""
        self._unread: set[tuple[str, str]] = set()
        """What could not be read when it was asked for last: that is told once."""

    def of(self, app: str) -> AuthOf:
        """For what is served: nobody gets in where it cannot be told who may."""
        return partial(self._serving, app)

    def needed(self, app: str) -> AuthOf:
        """For what is about to be: raises UserError when the secret is not set or has no such lines."""
        return lambda auth: self._read(app, auth)

    def forget(self, app: str) -> None:
        """Its secrets have changed."""
        self._known = {key: auth for key, auth in self._known.items() if key[0] != app}

    def _serving(self, app: str, auth: BasicAuth) -> Auth:
        key = (app, auth.secret)
        if key not in self._known:
            try:
                self._known[key] = self._read(app, auth)
                self._unread.discard(key)
            except FourfoldError as error:
                if key not in self._unread:
                    log.error("routes of %s let nobody in: %s", app, error)
                self._unread.add(key)
                return Auth(auth.realm or app, NOBODY)
        known = self._known[key]
        return Auth(auth.realm or app, known.key, known.users)

    def _read(self, app: str, auth: BasicAuth) -> Auth:
        """Hashed with a key that follows from the value, so that a daemon makes the same of it as the one before."""
        value = self._secrets.resolve(app, [auth.secret])[auth.secret]
        key = self._secrets.digest(app, [auth.secret])[:32]
        users = parse(value, auth.secret).items()
        hashed = tuple((name, digest(bytes.fromhex(key), name, password)) for name, password in users)
        return Auth(auth.realm or app, key, hashed)


def digest(key: bytes, name: str, password: str) -> str:
    return hmac.digest(key, f"{name}:{password}".encode(), "sha256").hex().upper()


def parse(value: str, secret: str) -> dict[str, str]:
    """`name:password` lines; empty ones and comments are passed over. Raises UserError, with no word of a password."""
    users: dict[str, str] = {}
    for number, line in enumerate(value.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, colon, password = line.partition(":")
        what = f"cannot use secret {secret} for `auth`: line {number}"
        if not colon or not password:
            raise UserError(f"{what} is not name:password", f"fourfold secrets set {secret} < users.txt")
        if not _NAME.fullmatch(name):
            raise UserError(f"{what} has a name with blanks or other than ASCII characters")
        if name in users:
            raise UserError(f"{what} has a name that an earlier line has: {name}")
        if _HASHED.match(password):
            raise UserError(
                f"{what} has a hash for a password: to try it costs milliseconds of every request",
                "give the password itself: it is stored encrypted, and the gateway gets a keyed hash of it",
            )
        users[name] = password
    if not users:
        raise UserError(f"cannot use secret {secret} for `auth`: it names nobody", "give a line name:password for each")
    return users
