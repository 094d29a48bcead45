"""What is recorded while instances come and go, and the daemon with them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from fourfold.control.costing.metering import Metering
from fourfold.errors import WorldError
from fourfold.gateway.haproxy import Gateway
from fourfold.gateway.model import InstanceStats
from fourfold.store.model import UsageHour
from fourfold.supervise.cgroups.counters import Counters
from fourfold.supervise.hosts.hosted import Hosted
from fourfold.supervise.model import Exit
from tests.control.rig import Rig, rigged
from tests.store.samples import app_row, instance

MIB = 2**20


class World:
    """What there is to measure: of each instance its CPU, and requests."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.cpu: dict[str, float] = {}
        self.requests: dict[str, int] = {}
        self.kept: set[str] = set()
        self.silent = False
        self.metering = self.daemon()

    def daemon(self) -> Metering:
        """Another one knows nothing but what is stored."""
        self.metering = Metering(self.rig.registry, self._counters, self._hosted, cast(Gateway, self), self.rig.clock)
        self.rig.lifecycle.taken = self.metering.ended
        return self.metering

    def _counters(self, name: str) -> Counters | None:
        return Counters(self.cpu[name], 100 * MIB) if name in self.cpu else None

    async def _hosted(self, hosts: Iterable[str]) -> Mapping[str, Hosted]:
        return {}

    async def answered(self) -> Mapping[str, InstanceStats]:
        if self.silent:
            raise WorldError("it does not answer")
        return self.last_served

    @property
    def last_served(self) -> Mapping[str, InstanceStats]:
        return {name: InstanceStats(name, count, 0, 0, 0, 0.1) for name, count in self.requests.items()}

    def keep(self, names: Collection[str]) -> None:
        self.kept = set(names)

    def start(self, name: str, service: str = "web", **given: object) -> None:
        fields = {"pid": 5, "run": 1, "started_at": self.rig.clock.now()} | given
        with self.rig.registry.transaction():
            self.rig.registry.put_instance(instance(name, service, **fields))
        self.cpu[name], self.requests[name] = 0.0, 0

    async def minute(self, cpu: float = 1.0, requests: int = 10) -> None:
        self.rig.clock.time += 60
        for name in self.cpu:
            self.cpu[name] += cpu
            self.requests[name] += requests
        await self.metering.look()

    def end(self, name: str, cpu_seconds: float | None, code: int = 0, **given: Any) -> None:
        run = self.rig.registry.instances[name].run
        fields = {"at": self.rig.clock.now(), "run": run, "cpu_seconds": cpu_seconds} | given
        exit = Exit(1, name, code, None, False, **fields)
        del self.cpu[name]
        self.rig.lifecycle.exited(exit)
        self.rig.lifecycle.exited(exit)  # until it is acknowledged, it is told again

    def hours(self, service: str = "web", app: str = "shop") -> list[UsageHour]:
        return self.rig.store.usage.of(app, service)

    def sums(self, service: str = "web") -> tuple[int, float, float]:
        """Requests, CPU, time."""
        rows = self.hours(service)
        return (
            sum(row.requests for row in rows), sum(row.cpu_seconds for row in rows),
            sum(row.instance_seconds for row in rows),
        )  # fmt: skip


@rigged
async def test_the_last_part_of_one_that_ends_is_counted_and_who_came_and_went(rig: Rig) -> None:
    world = World(rig)
    world.start("web-1-a")
    await world.minute()
    rig.clock.time += 20
    world.requests["web-1-a"] += 5
    world.end("web-1-a", cpu_seconds=1.25)
    world.start("web-1-b")
    rig.clock.time += 10
    world.requests["web-1-b"] = 3
    world.end("web-1-b", cpu_seconds=0.5, at=rig.clock.now() + 7200)  # by a clock that was set a moment ago
    assert world.sums() == (10, 1.75, 90.0), "before any other look"
    await world.minute()
    assert world.sums() == (18, 1.75, 90.0)
    with rig.registry.transaction():
        for row in [*rig.registry.instances.values()]:
            rig.registry.put_instance(replace(row, state="gone"))
    world.requests.clear()
    await world.minute()
    assert (world.sums(), rig.store.usage.marks(), world.kept) == ((18, 1.75, 90.0), {}, set())


@rigged
async def test_the_next_daemon_counts_on_and_what_was_not_stored_is_counted_later(rig: Rig) -> None:
    world = World(rig)
    world.start("web-1-a")
    await world.minute()
    world.daemon()
    await world.minute()
    end = rig.refuse_commits()
    with pytest.raises(WorldError):
        await world.minute()
    with pytest.raises(WorldError):
        rig.lifecycle.exited(Exit(1, "web-1-a", 0, None, False, rig.clock.now(), 1, cpu_seconds=9.0))
    end()
    world.silent = True
    await world.minute()
    assert world.sums() == (20, 4.0, 240.0), "the gateway is asked again"
    world.silent = False
    rig.clock.time += 2 * 3600
    world.daemon()
    await world.minute(requests=3600)
    assert world.sums() == (3640, 5.0, 240.0 + 7260.0)
    per_hour = {row.hour: row.requests for row in world.hours()}
    assert len(per_hour) == 3 and max(per_hour.values()) in range(1700, 1900), "spread over the hours between"


@rigged
async def test_a_run_of_a_job_is_a_request_and_so_is_an_event(rig: Rig) -> None:
    world = World(rig)
    world.start("job-1-a", "job", role="run", state="stopping")
    rig.clock.time += 30
    world.end("job-1-a", cpu_seconds=12.0, code=3, memory_bytes=10 * MIB)
    (row,) = world.hours("job")
    assert (row.requests, row.errors, row.response_seconds, row.cpu_seconds) == (1, 1, 30.0, 12.0)
    assert row.memory_byte_seconds == 300.0 * MIB, "nobody looked at it while it ran"
    handler = instance("h-1-a", "h", pattern="container")
    world.metering.answered(handler, failed=False, seconds=0.5)
    world.metering.answered(handler, failed=True, seconds=1.5)
    await world.minute()
    await world.minute()
    (row,) = world.hours("h")
    assert (row.pattern, row.requests, row.errors, row.response_seconds) == ("container", 2, 1, 2.0)


@rigged
async def test_a_run_takes_no_less_than_no_time_though_the_clock_is_set_back(rig: Rig) -> None:
    world = World(rig)
    world.start("job-1-a", "job", role="run", state="stopping")
    rig.clock.time -= 600
    world.end("job-1-a", cpu_seconds=12.0)
    (row,) = world.hours("job")
    assert (row.requests, row.response_seconds, row.cpu_seconds) == (1, 0.0, 12.0)


@rigged
async def test_nothing_is_kept_of_candidates_of_the_gateway_and_of_what_is_purged(rig: Rig) -> None:
    world = World(rig)
    with rig.registry.transaction():
        rig.registry.put_app(app_row("compare-x-vm", candidate_of="shop"))
    world.start("a-1-a", "a", app="compare-x-vm", state="stopping")
    world.start("fourfold.gateway-0-x", "gateway", app="fourfold")
    world.start("web-1-a")
    await world.minute()
    world.end("a-1-a", cpu_seconds=3.0)
    assert not world.hours("a", "compare-x-vm") and not world.hours("gateway", "fourfold")
    world.metering.answered(rig.registry.instances["web-1-a"], failed=False, seconds=1.0)
    with rig.registry.transaction():
        world.metering.forget("shop")
        rig.registry.put_instance(replace(rig.registry.instances["web-1-a"], state="gone"))
    await world.minute()
    assert not world.hours() and not rig.store.usage.marks()


@rigged
async def test_a_host_that_ends_leaves_what_it_took_to_its_guests(rig: Rig) -> None:
    world = World(rig)
    world.start("apps-1-h", "apps", pattern="group", state="stopping")
    world.start("web-1-a", pattern="shared", host="apps-1-h")
    await world.minute(cpu=1.0)
    rig.clock.time += 30
    world.end("web-1-a", cpu_seconds=None, at=0.0)
    world.end("apps-1-h", cpu_seconds=3.0)
    assert world.sums() == (10, 3.0, 90.0)
    (row,) = world.hours()
    assert (row.pattern, world.hours("apps")) == ("shared", [])
    assert row.memory_byte_seconds == pytest.approx(90 * 100 * MIB, rel=0.4)


@rigged
async def test_one_that_ended_while_it_was_looked_at_is_not_counted_twice(rig: Rig) -> None:
    world = World(rig)
    world.start("web-1-a")
    world.cpu["web-1-a"] = 5.0
    real = world.metering._see

    async def slow() -> object:
        seen = await real()
        world.end("web-1-a", cpu_seconds=6.0)
        return seen

    world.metering._see = slow  # type: ignore[method-assign, assignment]
    await world.metering.look()
    assert world.sums()[1] == 6.0


def test_old_hours_go(tmp_path: Path) -> None:
    async def body(rig: Rig) -> None:
        usage = rig.store.usage
        for hour in (0, 3600, 7200):
            usage.add(UsageHour("shop", "web", hour, "vm", 1, 0, 0.5, 1.0, 2.0, 3.0))
            usage.add(UsageHour("shop", "web", hour, "vm", 2, 1, 0.5, 1.0, 2.0, 3.0))
        assert usage.of("shop", "web", 3600)[0] == UsageHour("shop", "web", 3600, "vm", 3, 1, 1.0, 2.0, 4.0, 6.0)
        assert usage.trim(400 * 86_400 + 3600.0) == 1
        assert [row.hour for row in usage.of("shop", "web")] == [3600, 7200]
        assert usage.services("shop") == ["web"] and usage.services("other") == []

    rigged(body)(tmp_path)
