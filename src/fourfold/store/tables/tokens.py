"""Tokens of the API's users over the network. Their secrets are not stored, only digests of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fourfold.store.db import Database
from fourfold.store.tables.rows import Table

AccessRole = Literal["read", "deploy", "admin"]
"""Each may do all that those before it may."""


@dataclass(frozen=True)
class TokenRow:
    name: str
    role: AccessRole
    app: str | None
    """The only app that it is good for; None: all of them, and the machine."""
    digest: str
    """SHA-256 of the secret, in hex. The secret is random and long: no salt, and no slow hash, makes it safer."""
    created_by: str
    created_at: float
    expires_at: float | None
    used_at: float | None
    """When it was last used, give or take a minute."""


TABLE = Table("tokens", TokenRow, key=("name",))


class Tokens:
    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, row: TokenRow) -> None:
        """The name must be free: `get` says whether it is."""
        TABLE.insert(self._database, row)

    def get(self, name: str) -> TokenRow | None:
        return TABLE.get(self._database, name)

    def by_digest(self, digest: str) -> TokenRow | None:
        found = TABLE.select(self._database, "WHERE digest = ?", digest)
        return found[0] if found else None

    def all(self) -> list[TokenRow]:
        """By name."""
        return TABLE.select(self._database, "ORDER BY name")

    def used(self, name: str, at: float) -> None:
        self._database.execute("UPDATE tokens SET used_at = ? WHERE name = ?", (at, name))

    def remove(self, name: str) -> bool:
        """Whether there was one."""
        return TABLE.remove(self._database, name)
