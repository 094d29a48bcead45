"""Tokens: made once, found by their secret, gone when they expire or are removed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from fourfold.control.access import USED_EVERY, Access, TokenRequest
from fourfold.control.bus import Bus
from fourfold.errors import ConflictError, NotFoundError
from fourfold.store.db import Database, open_database
from fourfold.store.tables.tokens import Tokens


class _Clock:
    time = 1_000_000.0

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time


class _Bus:
    def __init__(self) -> None:
        self.told: list[tuple[str, str, str | None]] = []

    def emit(self, kind: str, message: str, *, actor: str | None = None, **data: Any) -> None:
        self.told.append((kind, message, actor))


class World:
    def __init__(self, database: Database) -> None:
        self.clock = _Clock()
        self.bus = _Bus()
        self.tokens = Tokens(database)
        self.access = Access(self.tokens, cast(Bus, self.bus), self.clock)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with open_database(tmp_path / "store.db") as database:
        yield World(database)


def test_a_secret_is_told_once_and_not_kept(world: World, tmp_path: Path) -> None:
    made = world.access.create(TokenRequest(name="ci", role="deploy", app="shop", actor="ann"))
    assert made.secret.startswith("ff_")
    assert len(made.secret) == 46
    found = world.access.find(made.secret)
    assert found is not None
    assert (found.name, found.role, found.app) == ("ci", "deploy", "shop")
    stored = b"".join(each.read_bytes() for each in tmp_path.iterdir())
    assert made.secret.encode() not in stored
    assert made.secret not in repr(world.access.all())
    assert world.bus.told == [("token.created", "token ci of role deploy for shop was created", "ann")]


@pytest.mark.parametrize("secret", ["", "ff_", "x" * 46, "ÿ", "\udcff", "ff_' OR 1=1"])
def test_what_is_none(world: World, secret: str) -> None:
    world.access.create(TokenRequest(name="ci", role="read"))
    assert world.access.find(secret) is None


def test_it_expires(world: World) -> None:
    secret = world.access.create(TokenRequest(name="ci", role="read", expires_in=60)).secret
    world.clock.time += 59
    assert world.access.find(secret) is not None
    world.clock.time += 1
    assert world.access.find(secret) is None
    assert [each.expired for each in world.access.all()] == [True]


def test_its_use_is_noted_once_a_minute(world: World) -> None:
    secret = world.access.create(TokenRequest(name="ci", role="read")).secret

    def used() -> float | None:
        world.access.find(secret)
        row = world.tokens.get("ci")
        assert row is not None
        return row.used_at

    first = used()
    assert first == world.clock.time
    world.clock.time += USED_EVERY - 1
    assert used() == first
    world.clock.time += 1
    assert used() == world.clock.time
    world.clock.time -= 86_400  # somebody has set the clock back
    assert used() == world.clock.time


def test_one_that_is_removed_is_told_to_whom_it_concerns(world: World) -> None:
    secret = world.access.create(TokenRequest(name="ci", role="read")).secret
    told: list[str] = []
    world.access.removed.add(told.append)
    world.access.remove("ci", "ann")
    assert told == ["ci"]
    assert world.access.find(secret) is None
    with pytest.raises(NotFoundError, match="tokens are none"):
        world.access.remove("ci", "ann")
    world.access.create(TokenRequest(name="ci", role="admin"))
    with pytest.raises(ConflictError, match="there is one of that name"):
        world.access.create(TokenRequest(name="ci", role="read"))
