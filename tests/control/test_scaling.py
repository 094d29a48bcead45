"""The loop that follows loads: what it asks the gateway and the supervisor, what it stores and tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast
from unittest.mock import patch

import pytest

from fourfold.control.goals import desired
from fourfold.control.scaling.scaling import Scaler
from fourfold.errors import WorldError
from fourfold.gateway.haproxy import Gateway
from fourfold.gateway.model import InstanceStats
from fourfold.supervise.cgroups.counters import Counters
from tests.control.rig import Rig, rigged
from tests.store.samples import instance

WEB = "shop.web"


class World:
    """`shop.web`, two of which are ready, and what there is to measure of them."""

    def __init__(self, rig: Rig, *, down: float = 10.0, **targets: float) -> None:
        self.rig = rig
        self.asked: dict[str, int] = {}
        self.flying: dict[str, int] = {}
        self.cpu: dict[str, float] = {}
        self.readings = 0
        self.silent = False
        self.woken = 0
        self.steady = 0.0
        scaling = {"min": 1, "max": 10, "per_instance": targets, "window": {"up": 0, "down": down}}
        self.put(scaling=scaling, scaled=2)
        for name in ("a", "b"):
            self.start(name)
        self.scaler = self.daemon()

    def daemon(self) -> Scaler:
        return Scaler(
            self.rig.registry, self._counters, cast(Gateway, self), self.rig.bus, self.rig.clock, self._wake, 5.0,
            lambda: self.steady,
        )  # fmt: skip

    def _wake(self) -> None:
        self.woken += 1

    def _counters(self, name: str) -> Counters | None:
        return Counters(self.cpu[name], 1) if name in self.cpu else None

    async def answered(self) -> Mapping[str, InstanceStats]:
        self.readings += not self.silent
        return {name: InstanceStats(name, count - 1, 0, 0, 1, 0.1) for name, count in self.asked.items()}

    async def in_flight(self) -> Mapping[str, int]:
        if self.silent:
            raise WorldError("it does not answer")
        return self.flying

    def put(self, **given: Any) -> None:
        with self.rig.registry.transaction():
            self.rig.registry.put_service(replace(self.rig.registry.services[WEB], **given))

    def start(self, name: str, **given: Any) -> None:
        fields: dict[str, Any] = {"state": "ready", "pid": 5, "run": 1, "ready_at": self.rig.clock.now() - 3600} | given
        with self.rig.registry.transaction():
            self.rig.registry.put_instance(instance(f"{WEB}-{name}", **fields))
        self.cpu[f"{WEB}-{name}"], self.asked[f"{WEB}-{name}"] = 0.0, 1

    async def interval(self, rps: float = 0.0, cores: float = 0.0, in_flight: int = 0) -> int:
        """Of each instance, for five seconds. -> how many there are to be after it."""
        self.rig.clock.time += 5
        self.steady += 5
        for name in self.asked:
            self.asked[name] += int(5 * rps)
            self.cpu[name] += 5 * cores
            self.flying[name] = in_flight
        for _ in range(5):
            await self.scaler.glance()
        await self.scaler.look()
        return desired(self.rig.registry.services[WEB])


@rigged
async def test_a_step_is_followed_in_the_look_that_shows_it(rig: Rig) -> None:
    world = World(rig, rps=20)
    assert [await world.interval(10) for _ in range(2)] == [2, 2]
    assert await world.interval(50) == 5
    assert world.woken == 1
    rig.bus.flush()
    (event,) = [each for each in rig.bus.since(0) if each.kind == "service.scaled"]
    assert event.message == "web goes from 2 to 5 instances: 100 requests per second, 20 for each instance"
    assert event.data == {"before": 2, "instances": 5, "reason": "100 requests per second, 20 for each instance"}
    row = rig.registry.services[WEB]
    assert (row.scaled, row.scaled_at, row.scaled_why) == (5, rig.clock.now(), event.data["reason"])
    assert rig.registry.deployments.get(WEB) is None, "that is no deployment"
    assert [await world.interval(0) for _ in range(2)] == [5, 3], "at most half of them go at a time"


@rigged
async def test_the_next_daemon_keeps_the_count_until_it_has_seen_a_window(rig: Rig) -> None:
    world = World(rig, rps=20)
    assert [await world.interval(50) for _ in range(2)] == [2, 5], "from the second look on something is known"
    world.scaler = world.daemon()
    for name in "cde":
        world.start(name)
    assert [await world.interval(2) for _ in range(4)] == [5, 5, 5, 3]


@rigged
async def test_a_gateway_that_does_not_tell_is_no_silence(rig: Rig) -> None:
    world = World(rig, down=0, rps=20)
    await world.interval(15)
    assert await world.interval(20) == 2
    world.silent = True
    assert [await world.interval(0) for _ in range(3)] == [2, 2, 2]
    last = world.scaler.last(rig.registry.services[WEB])
    assert last is not None and (last[0], last[1].reason) == (rig.clock.now(), "not known: rps")
    world.silent = False
    assert [await world.interval(0) for _ in range(2)] == [2, 1], "known again once there are two looks"


@rigged
async def test_requests_in_flight_are_a_mean_of_glances(rig: Rig) -> None:
    world = World(rig, concurrency=2)
    assert [await world.interval(in_flight=2) for _ in range(2)] == [2, 2]
    assert await world.interval(in_flight=6) == 6


@rigged
async def test_cpu_of_who_has_just_started_is_not_judged(rig: Rig) -> None:
    world = World(rig, down=5, cpu=0.5)
    assert [await world.interval(cores=0.4) for _ in range(2)] == [2, 2]
    for name in "cd":
        world.start(name, ready_at=rig.clock.now())
    world.put(scaled=4)
    assert [await world.interval(cores=0.4) for _ in range(4)] == [4, 4, 4, 4], "0.8 cores, and two that are new"
    assert await world.interval(cores=0.1) == 2, "all are warm now"
    assert [await world.interval(cores=0.9) for _ in range(2)][-1] == 8
    del world.cpu[f"{WEB}-a"]
    world.asked.pop(f"{WEB}-a")
    assert await world.interval(cores=0.1) == 8, "nobody can tell"


@rigged
async def test_only_whose_load_has_a_say(rig: Rig) -> None:
    world = World(rig, rps=20)
    world.put(overrides={"instances": 4})
    assert [await world.interval(90) for _ in range(3)] == [4, 4, 4]
    assert world.scaler.last(rig.registry.services[WEB]) is None
    world.put(overrides={})
    assert [await world.interval(90) for _ in range(2)] == [2, 6], (
        "what was seen before it was freed counts for nothing"
    )


@rigged
async def test_a_clock_that_was_set_changes_nothing_and_a_look_that_is_late_tells_nothing(rig: Rig) -> None:
    world = World(rig, down=0, rps=20)
    await world.interval(20)
    for jump in (3600, -7200, -3, 3):
        rig.clock.time += jump
        assert await world.interval(20) == 2
    world.steady += 60
    assert [await world.interval(20), await world.interval(40)] == [2, 4]


@rigged
async def test_what_it_cannot_store_it_has_not_done(rig: Rig) -> None:
    world = World(rig, rps=20)
    await world.interval(10)

    with patch.object(rig.registry, "put_service", side_effect=WorldError("the disk is full")):
        with pytest.raises(WorldError):
            await world.interval(50)
        rig.bus.flush()
        assert not [each for each in rig.bus.since(0) if each.kind == "service.scaled"]
    assert await world.interval(50) == 5
