"""Which release has what: built once for each pattern, under one number, and made again only where it is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from fourfold.build.build import Builder, BuildRequest
from fourfold.control.deploying.building import Building
from fourfold.control.deploying.changes import Wish, change_of, overrides_for
from fourfold.control.deploying.deploy import Deployer, Who
from fourfold.control.operations import Operation
from fourfold.control.settings import Settings
from fourfold.errors import UserError, WorldError
from fourfold.spec.app import App
from fourfold.spec.model import Service
from fourfold.store.files.artifacts import Artifact
from tests.control.rig import Rig, rigged

KEY = "shop.api"
CONTAINER = {"pattern": "container"}


class FakeBuilder:
    """Artifacts whose digest names what went into them; `lost` ones are not in the store."""

    def __init__(self) -> None:
        self.asked: list[BuildRequest] = []
        self.lost: set[str] = set()
        self.fails: Exception | None = None

    async def build(self, request: BuildRequest, log: Callable[[str], None]) -> Artifact:
        self.asked.append(request)
        if self.fails is not None:
            raise self.fails
        digest = f"{request.pattern} of {request.source}{request.fresh}"
        self.lost.discard(digest)
        return Artifact(digest, Path("/tree"), argv=(request.pattern,))


class Shop:
    """An app with the service `api`, brought up by the real Deployer."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.builder = FakeBuilder()
        self.building = Building(
            cast(Builder, self.builder), lambda digest: digest not in self.builder.lost, rig.bus, rig.clock
        )
        settings = Settings(internal_ports=(29500, 29600))
        self.deployer = Deployer(rig.registry, self.building, rig.bus, rig.clock, settings, lambda: None)
        self._operations = 0

    async def up(self, source: str = "v1", rebuild: bool = False, **given: Any) -> None:
        """`given`: overrides."""
        spec = Service.model_validate({"run": "x"})
        app = App(app="shop", services={"api": spec})
        overrides = overrides_for(self.rig.registry.services.get(KEY), given, False, spec)
        wish = Wish("api", spec, source, "", overrides, rebuild)
        change = change_of(self.rig.registry, "shop", wish, self.building.is_there)
        await self.deployer.up(app, "", [wish], [change], Who("ann"), self.operation("up"))

    async def rollback(self, to: int) -> None:
        await self.deployer.rollback(KEY, to, self.operation("rollback"))

    def operation(self, kind: str) -> Operation:
        self._operations += 1
        return Operation(f"op{self._operations}", "shop", kind, "ann", 0.0)

    @property
    def built(self) -> list[str]:
        """For which patterns, since it was last asked."""
        found = [request.pattern for request in self.builder.asked]
        self.builder.asked.clear()
        return found

    @property
    def state(self) -> tuple[int, str, int]:
        row = self.rig.registry.services[KEY]
        return row.release, str(row.overrides.get("pattern", row.pattern)), row.restart_nonce

    @property
    def builds(self) -> list[tuple[int, str, str]]:
        return [(row.number, row.pattern, row.artifact) for row in self.rig.store.builds.of("shop", "api")]


@rigged
async def test_a_release_is_built_once_for_each_pattern(rig: Rig) -> None:
    shop = Shop(rig)
    await shop.up()
    await shop.up(pattern="container")
    assert (shop.built, shop.state) == (["process", "container"], (1, "container", 0))
    await shop.up(pattern="process")
    await shop.up(pattern="container")
    assert (shop.built, shop.state) == ([], (1, "container", 0))
    assert shop.builds == [(1, "container", "container of v1"), (1, "process", "process of v1")]
    assert [row.argv for row in rig.store.builds.of("shop", "api")] == [("container",), ("process",)]


@rigged
async def test_a_new_release_is_built_for_the_pattern_that_it_runs_under(rig: Rig) -> None:
    shop = Shop(rig)
    await shop.up(pattern="container")
    await shop.up("v2")
    assert shop.state == (2, "container", 0)
    assert shop.builds == [(2, "container", "container of v2"), (1, "container", "container of v1")]


@rigged
async def test_what_is_built_again_is_another_release_under_any_pattern(rig: Rig) -> None:
    shop = Shop(rig)
    await shop.up()
    await shop.up(rebuild=True, pattern="container")
    assert shop.state == (2, "container", 0)
    assert shop.builds == [(2, "container", "container of v1op2"), (1, "process", "process of v1")]


@rigged
async def test_what_is_lost_is_made_again_under_its_number_and_replaces_what_runs(rig: Rig) -> None:
    shop = Shop(rig)
    await shop.up()
    shop.builder.lost.add("process of v1")
    await shop.up()
    assert (shop.built, shop.state) == (["process", "process"], (1, "process", 1))


@rigged
async def test_going_back_makes_what_is_missing_for_todays_pattern(rig: Rig) -> None:
    shop = Shop(rig)
    await shop.up()
    await shop.up("v2")
    await shop.rollback(1)
    assert (shop.built, shop.state) == (["process", "process"], (1, "process", 0))
    await shop.up("v2", pattern="container")
    await shop.rollback(1)
    assert shop.built == ["container", "container"], "v2 has never been a container, nor has v1"
    assert shop.state == (1, "container", 0)
    shop.builder.lost.add("container of v2")
    await shop.rollback(2)
    assert (shop.built, shop.state) == (["container"], (2, "container", 0))
    shop.builder.lost.add("container of v2")
    await shop.rollback(2)
    assert (shop.built, shop.state) == (["container"], (2, "container", 1))


@rigged
async def test_going_back_to_what_cannot_be_built_changes_nothing(rig: Rig) -> None:
    shop = Shop(rig)
    await shop.up()
    await shop.up("v2")
    shop.builder.lost.add("process of v1")
    shop.builder.fails = WorldError("no network", "plug it in")
    before, deployment = shop.state, rig.registry.deployments[KEY]
    with pytest.raises(WorldError, match="api: no network"):
        await shop.rollback(1)
    assert (shop.state, rig.registry.deployments[KEY]) == (before, deployment) and not shop.building.in_use


@rigged
async def test_sources_are_held_until_there_is_a_release(rig: Rig) -> None:
    shop = Shop(rig)
    with shop.building.holding(["a"]):
        with shop.building.holding(["a", "b", "b"]):
            assert shop.building.in_use == {"a", "b"}
        assert shop.building.in_use == {"a"}, "somebody still needs it"
    assert not shop.building.in_use
    shop.builder.fails = UserError("no")
    with pytest.raises(UserError):
        await shop.up()
    assert not shop.building.in_use
