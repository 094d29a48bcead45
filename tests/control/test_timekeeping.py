"""A machine's clock that is set: waits and times go on as long as they were meant to."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from fourfold.clock import SystemClock
from fourfold.control.timekeeping import Timekeeping
from tests.control.rig import Rig
from tests.store.samples import deployment


class Machine:
    def __init__(self) -> None:
        self.wall = 1000.0
        self.boot = 5.0

    def passes(self, seconds: float) -> None:
        self.wall += seconds
        self.boot += seconds

    def clock(self) -> SystemClock:
        return SystemClock(lambda: self.wall, lambda: self.boot)


def test_a_clock_goes_on_evenly_until_it_follows() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.passes(10)
    machine.wall += 7200
    assert (clock.now(), clock.set_by()) == (1010, 7200)
    clock.follow()
    assert (clock.now(), clock.set_by()) == (8210, 0)


@pytest.mark.parametrize("by", [7200.0, -7200.0, -90.0])
def test_what_is_under_way_moves_along(tmp_path: Path, by: float) -> None:
    async def scenario() -> None:
        rig, machine, woken = Rig(tmp_path), Machine(), list[None]()
        clock = machine.clock()
        rig.add("web-1", state="ready", changed_at=900.0, started_at=899.0)
        with rig.registry.transaction():
            running = rig.registry.add_deployment(deployment(state="running", progressed_at=990.0, step_at=980.0))
        keeper = Timekeeping(rig.registry, clock, rig.bus, lambda: woken.append(None))
        machine.passes(10)
        keeper.look()
        assert not woken, "nothing was set"
        machine.wall += by
        keeper.look()
        row = rig.registry.instances["web-1"]
        assert clock.now() - row.changed_at == pytest.approx(110)
        assert row.started_at is not None and clock.now() - row.started_at == pytest.approx(111)
        now = rig.registry.store.deployments.get(running.id)
        assert now is not None and clock.now() - now.progressed_at == pytest.approx(20)
        assert now.step_at is not None and clock.now() - now.step_at == pytest.approx(30)
        assert len(woken) == 1 and [event.kind for event in rig.bus.since(0)] == ["daemon.clock-set"]

    asyncio.run(scenario())


def test_a_new_daemon_begins_waiting_anew(tmp_path: Path) -> None:
    """However long nobody looked, or however far ahead the clock was when the last one did."""

    async def scenario() -> None:
        rig = Rig(tmp_path)
        rig.clock.time = 5000.0
        rig.add("slow", state="starting", changed_at=100.0)
        rig.add("ahead", state="ready", changed_at=9000.0, ready_at=9000.0)
        with rig.registry.transaction():
            rig.registry.add_deployment(deployment(state="running", progressed_at=100.0, step_at=9000.0))
        await rig.lifecycle.adopt("this-boot")
        slow, ahead = rig.registry.instances["slow"], rig.registry.instances["ahead"]
        running = rig.registry.running_deployment("shop.web")
        assert running is not None
        assert (slow.changed_at, ahead.changed_at, running.progressed_at) == (5000.0, 5000.0, 5000.0)
        assert running.step_at == 5000.0
        assert ahead.ready_at in (None, 5000.0)

    asyncio.run(scenario())
