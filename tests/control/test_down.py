"""A purge is seen through or given up, never half forgotten."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest

from fourfold.control.deploying import down
from fourfold.control.deploying.building import Building
from fourfold.control.deploying.deploy import Deployer
from fourfold.control.operations import Operation
from fourfold.control.settings import Settings
from fourfold.errors import WorldError
from tests.control.rig import Rig, rigged


def operation(rig: Rig) -> Operation:
    return Operation("op1", "shop", "down", "ann", rig.clock.now())


def made(rig: Rig) -> down.Down:
    building = cast(Building, None)
    deployer = Deployer(rig.registry, building, rig.bus, rig.clock, Settings(), lambda: None)
    return down.Down(rig.paths, rig.registry, deployer, rig.bus, lambda: None)


def gone(rig: Rig) -> None:
    """As the planner has it in the end."""
    with rig.registry.transaction():
        for row in rig.registry.of_app("shop"):
            rig.registry.remove_service(row)
        rig.registry.remove_app("shop")
    rig.bus.emit("app.removed", "shop is down", app="shop")


@rigged
async def test_a_daemon_that_ends_leaves_it_to_the_next(rig: Rig) -> None:
    rig.store.secrets.set_many("shop", {"KEY": "value"})
    running = asyncio.create_task(made(rig).run("shop", True, operation(rig)))
    await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait({running})
    ((unfinished, work),) = made(rig).unfinished()
    assert (unfinished.id, unfinished.app, unfinished.kind, unfinished.actor) == ("op1", "shop", "down", "ann")
    gone(rig)
    await work(unfinished)
    assert not rig.store.secrets.names("shop") and not rig.store.releases.of_app("shop")
    assert not made(rig).unfinished() and not made(rig).leaves("shop")


def test_what_cannot_be_deleted_is_told_and_not_tried_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An app that is brought up under this name afterwards must not be purged by surprise."""

    def broken(folder: Path) -> Any:
        raise PermissionError(1, "Operation not permitted", str(folder))

    @rigged
    async def fails(rig: Rig) -> None:
        running = asyncio.create_task(made(rig).run("shop", True, operation(rig)))
        await asyncio.sleep(0)
        gone(rig)
        with pytest.raises(WorldError, match="cannot delete all of shop: Operation not permitted"):
            await running
        assert not made(rig).unfinished()

    monkeypatch.setattr(down, "remove_tree", broken)
    fails(tmp_path)


@rigged
async def test_down_alone_purges_nothing(rig: Rig) -> None:
    running = asyncio.create_task(made(rig).run("shop", False, operation(rig)))
    await asyncio.sleep(0)
    assert not made(rig).unfinished()
    gone(rig)
    await running
    assert made(rig).leaves("shop") and rig.store.releases.of_app("shop")
