"""Tokens: who may use the API over the network, and as what."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256

from pydantic import BaseModel, ConfigDict, Field

from fourfold.clock import Clock, rfc3339
from fourfold.control.bus import Bus
from fourfold.control.views import CheckView
from fourfold.errors import ConflictError, NotFoundError, WorldError
from fourfold.spec.fields import NAME
from fourfold.store.tables.tokens import AccessRole, TokenRow, Tokens

PREFIX = "ff_"
"""Of every secret: scanners of repositories find what was committed by mistake."""
SECRET_BYTES = 32
USED_EVERY = 60.0
"""Seconds between two notes of a token's use: each is a commit."""


class View(BaseModel):
    model_config = ConfigDict(extra="forbid")


class TokenRequest(View):
    name: str = Field(pattern=NAME, max_length=40, description="Of whoever uses it: the actor of all that it changes")
    role: AccessRole = Field(description="read looks; deploy changes apps; admin does everything")
    app: str | None = Field(default=None, pattern=NAME, max_length=40, description="Good for this app only")
    expires_in: float | None = Field(
        default=None, gt=0, le=100 * 366 * 86_400, allow_inf_nan=False, description="Seconds; null: never"
    )
    actor: str = Field(default="", max_length=200, description="Who asks, for the events")


class TokenView(View):
    """Everything about a token but its secret, which is not kept."""

    name: str
    role: AccessRole
    app: str | None
    created_by: str
    created_at: str
    expires_at: str | None
    expired: bool
    used_at: str | None
    """Give or take a minute; null: never."""


class NewTokenView(TokenView):
    secret: str
    """Answered this once."""


class Access:
    """`removed` are called with the name of each token that is no longer good."""

    def __init__(self, tokens: Tokens, bus: Bus, clock: Clock) -> None:
        self._tokens = tokens
        self._bus = bus
        self._clock = clock
        self.removed: set[Callable[[str], None]] = set()
        self.listener: Callable[[], CheckView] | None = None
        """How the listener on the network is; None: there is none."""

    def all(self) -> list[TokenView]:
        return [TokenView(**self._told(row)) for row in self._tokens.all()]

    def create(self, request: TokenRequest) -> NewTokenView:
        """Raises ConflictError when the name is taken."""
        if self._tokens.get(request.name) is not None:
            raise ConflictError(
                f"cannot create token {request.name}: there is one of that name",
                f"choose another name, or remove it first: fourfold tokens rm {request.name}",
            )
        secret = PREFIX + secrets.token_urlsafe(SECRET_BYTES)
        now = self._clock.now()
        expires = None if request.expires_in is None else now + request.expires_in
        row = TokenRow(request.name, request.role, request.app, _digest(secret), request.actor, now, expires, None)
        self._tokens.add(row)
        of = f" for {row.app}" if row.app else ""
        self._emit("token.created", f"token {row.name} of role {row.role}{of} was created", row, request.actor)
        return NewTokenView(**self._told(row), secret=secret)

    def remove(self, name: str, actor: str) -> None:
        """What it is used for at this moment ends too. Raises NotFoundError."""
        row = self._tokens.get(name)
        if row is None:
            there = ", ".join(each.name for each in self._tokens.all()) or "none"
            raise NotFoundError(f"cannot remove token {name}: tokens are {there}", "see: fourfold tokens list")
        self._tokens.remove(name)
        self._emit("token.removed", f"token {name} was removed", row, actor)
        for tell in list(self.removed):
            tell(name)

    def find(self, secret: str) -> TokenRow | None:
        """The token whose secret this is, if it is good now."""
        digest = _digest(secret)
        row = self._tokens.by_digest(digest)
        # The look-up goes by a digest of what was sent: its timing says nothing of a secret. Nor does this.
        if row is None or not hmac.compare_digest(row.digest, digest):
            return None
        now = self._clock.now()
        if row.expires_at is not None and row.expires_at <= now:
            return None
        if row.used_at is None or not row.used_at <= now < row.used_at + USED_EVERY:
            with suppress(WorldError):  # a note: a full disk is to keep out nobody, least of all who can make room
                self._tokens.used(row.name, now)
        return row

    def left(self, row: TokenRow) -> float | None:
        """Seconds that it is still good for; None: until it is removed."""
        return None if row.expires_at is None else max(0.0, row.expires_at - self._clock.now())

    def _told(self, row: TokenRow) -> dict[str, object]:
        return {
            "name": row.name,
            "role": row.role,
            "app": row.app,
            "created_by": row.created_by,
            "created_at": rfc3339(row.created_at),
            "expires_at": None if row.expires_at is None else rfc3339(row.expires_at),
            "expired": row.expires_at is not None and row.expires_at <= self._clock.now(),
            "used_at": None if row.used_at is None else rfc3339(row.used_at),
        }

    def _emit(self, kind: str, what: str, row: TokenRow, actor: str) -> None:
        self._bus.emit(kind, what, app=row.app, actor=actor or None, token=row.name, role=row.role)


def _digest(secret: str) -> str:
    return sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
