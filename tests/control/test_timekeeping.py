"""A machine's clock that is set: waits and times go on as long as they were meant to."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from fourfold.clock import SystemClock
from fourfold.control.delivering.eventing import Eventing
from fourfold.control.timekeeping import Timekeeping
from fourfold.control.triggers.aws import Aws
from fourfold.store.model import UsageMark
from tests.control.eventrig import FAILED, OK, EventRig, FakeInvoking, evented
from tests.control.rig import Rig
from tests.store.samples import deployment, instance


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
        events = Eventing(
            rig.registry, rig.executor, rig.bus, rig.clock, rig.lifecycle.act, FakeInvoking(), Aws(), {}
        )  # fmt: skip
        clock = machine.clock()
        rig.add("web-1", state="ready", changed_at=900.0, started_at=899.0)
        with rig.registry.transaction():
            running = rig.registry.add_deployment(deployment(state="running", progressed_at=990.0, step_at=980.0))
        keeper = Timekeeping(rig.registry, events, clock, rig.bus, lambda: woken.append(None))
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
        await rig.adopting.adopt("this-boot")
        slow, ahead = rig.registry.instances["slow"], rig.registry.instances["ahead"]
        running = rig.registry.running_deployment("shop.web")
        assert running is not None
        assert (slow.changed_at, ahead.changed_at, running.progressed_at) == (5000.0, 5000.0, 5000.0)
        assert running.step_at == 5000.0
        assert ahead.ready_at in (None, 5000.0)

    asyncio.run(scenario())


MOVED = {
    "deployments.started_at", "deployments.progressed_at", "deployments.finished_at", "deployments.step_at",
    "instances.created_at", "instances.changed_at", "instances.started_at", "instances.ready_at", "queue.created_at",
    "queue.due_at", "runs.created_at", "runs.retry_at", "usage_marks.at",
}  # fmt: skip
LEFT = {
    "told, and nothing waits for it": {
        "apps.updated_at", "releases.created_at", "services.scaled_at", "events.at", "secrets.updated_at",
        "builds.made_at", "comparisons.made_at", "functions.modified_at", "function_versions.modified_at",
        "event_source_mappings.modified_at", "runs.ended_at", "bakes.started_at", "tokens.created_at", "tokens.used_at",
        "hooks.failing_since", "maintenance.since",
    },
    "a moment of the calendar": {"tokens.expires_at"},
    "of what has ended, which is kept for days": {"queue.failed_at", "bakes.created_at", "bakes.ended_at"},
}  # fmt: skip


@evented
async def test_every_time_in_the_store_is_moved_or_has_a_reason_not_to_be(rig: EventRig) -> None:
    """A column that is new has to be put into one of the lists."""
    columns = rig.store.database.query(
        "SELECT t.name || '.' || c.name FROM sqlite_master t, pragma_table_info(t.name) c WHERE t.type = 'table'"
        " AND c.type = 'REAL' AND (c.name = 'at' OR c.name LIKE '%since' OR c.name LIKE '%!_at' ESCAPE '!')"
    )
    assert {name for (name,) in columns} == MOVED.union(*LEFT.values())
    at: dict[str, Any] = dict.fromkeys(("started_at", "progressed_at", "finished_at", "step_at"), 900.0)
    rig.service("report", job={"retries": 1})
    run = rig.jobs.start("shop", "report", source="run")
    rig.ended(run.id, code=1)
    await rig.settle()
    rig.invoking.answer = lambda service: FAILED
    rig.service("web")
    await rig.enqueue()
    await rig.settle()
    rig.put(instance("web-1", started_at=1.0, ready_at=1.0))
    with rig.registry.transaction():
        rig.registry.add_deployment(deployment(**at))
        rig.store.usage.put_mark(UsageMark("web-1", "shop", "web", "process", None, 1, 900.0, 0.0, 0, 0, 0))
    before = times(rig)
    machine = Machine()
    keeper = Timekeeping(rig.registry, rig.events, machine.clock(), rig.bus, lambda: None)
    machine.wall += 7200
    keeper.look()
    moved = {name for name, values in times(rig).items() if values != before[name]}
    assert moved == MOVED
    for name in MOVED:
        assert times(rig)[name] == [None if each is None else each + 7200 for each in before[name]], name


def times(rig: EventRig) -> dict[str, list[float | None]]:
    """Column -> what it has in every row that something waits for."""
    found = {}
    for name in sorted(MOVED):
        table, _, column = name.partition(".")
        found[name] = [at for (at,) in rig.store.database.query(f"SELECT {column} FROM {table}")]
    return found


@pytest.mark.parametrize("by", [86_400.0, -86_400.0])
def test_events_and_retries_come_as_if_no_clock_had_been_set(tmp_path: Path, by: float) -> None:
    """Set back, nothing that waits stands still for so long; set forward, nothing is too old."""

    @evented
    async def scenario(rig: EventRig) -> None:
        machine = Machine()
        keeper = Timekeeping(rig.registry, rig.events, machine.clock(), rig.bus, lambda: None)
        rig.service("report", job={"retries": 1}, restart={"backoff": {"min": "10s"}})
        run = rig.jobs.start("shop", "report", source="run")
        rig.ended(run.id, code=1)
        rig.service("web")
        rig.invoking.answer = lambda service: FAILED
        await rig.enqueue(b"fails")
        await rig.settle()
        rig.invoking.hold = asyncio.Event()
        await rig.enqueue(b"under way")
        await rig.settle()
        machine.wall += by
        keeper.look()
        rig.clock.time += by
        rig.invoking.hold.set()
        await rig.later(9)
        assert [payload for _, payload, _ in rig.invoking.calls] == [b"fails", b"under way"]
        assert not rig.told("run.retried")
        rig.invoking.answer = lambda service: OK
        await rig.later(1)
        assert len(rig.told("run.retried")) == 1
        await rig.later(50)
        await rig.later(10)
        assert len(rig.invoking.calls) == 4 and rig.waiting == 0 and not rig.told("event.failed")

    scenario(tmp_path)


@evented
async def test_events_wait_no_longer_when_the_clock_was_set_back_while_no_daemon_was_there(rig: EventRig) -> None:
    rig.service("web", pattern="process")
    rig.invoking.answer = lambda service: FAILED
    await rig.enqueue()
    await rig.settle()
    rig.clock.time -= 7200
    await rig.restart()
    rig.invoking.answer = lambda service: OK
    await rig.settle()
    assert rig.waiting == 0
