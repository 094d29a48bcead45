"""Instances in the world and their rows: whatever went wrong, they come to agree."""

from __future__ import annotations

from typing import Any, cast

import pytest

from fourfold.clock import SystemClock
from fourfold.control.bus import Bus
from fourfold.control.executor import Effects, Executor
from fourfold.control.faults import Faults
from fourfold.control.goals import SYSTEM
from fourfold.control.instances.lifecycle import Lifecycle
from fourfold.control.registry import Registry
from fourfold.errors import WorldError
from fourfold.store.model import InstanceRow
from fourfold.store.store import open_store
from fourfold.supervise.model import Exit
from tests.supervise.rig import Rig, scenario


def made(rig: Rig, state: Any) -> tuple[Lifecycle, Registry]:
    clock = SystemClock()
    store = open_store(rig.paths, clock)
    registry, bus = Registry(store), Bus(store.events, Faults({}))
    row = InstanceRow("fourfold.gateway-0-x", SYSTEM, "gateway", 0, "", "serve", state, 1.0, 1.0, pid=4, run=3)
    with registry.transaction():
        registry.put_instance(row)
    executor = Executor(registry, bus, clock)
    return Lifecycle(registry, executor, cast(Any, None), rig, bus, clock, lambda: None), registry


@pytest.mark.parametrize("state", ["stopping", "killing"])
def test_what_is_to_stop_and_is_not_there_has_ended(state: str) -> None:
    async def test(rig: Rig) -> None:
        lifecycle, registry = made(rig, state)
        (name,) = registry.instances
        await lifecycle.act(Effects(signals=[name]) if state == "stopping" else Effects(kills=[name]))
        row = registry.instances[name]
        assert row.state == "exited" and row.exit is not None and row.exit["reason"] == "exit status unknown"

    scenario(test)


def test_an_exit_that_cannot_be_stored_is_not_taken() -> None:
    async def test(rig: Rig) -> None:
        lifecycle, registry = made(rig, "stopping")
        (name,) = registry.instances
        exit = Exit(7, name, 0, None, False, at=1.0, run=3)
        registry.store.database.query("PRAGMA query_only = 1")
        with pytest.raises(WorldError):
            lifecycle.exited(exit)
        registry.store.database.query("PRAGMA query_only = 0")
        lifecycle.exited(exit)
        assert registry.instances[name].state == "exited"

    scenario(test)
