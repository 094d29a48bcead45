"""Runs of jobs: started once, ended in time, tried again as often as asked, over daemons and machines that die."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from fourfold.control.delivering.jobs import KEEP_DEAD, LARGEST_EVENT
from fourfold.control.delivering.running import Running
from fourfold.control.goals import goal_of
from fourfold.errors import ConflictError, UserError, WorldError
from fourfold.store.tables.runs import KEEP_RUNS, RunRow
from tests.control.eventrig import EventRig, evented


def begin(rig: EventRig, **given: Any) -> RunRow:
    run = rig.jobs.start("shop", "nightly", source="run", actor="ann", **given)
    runs(rig, run.id)
    return run


def runs(rig: EventRig, id: str, number: int = 1) -> None:
    """As lifecycle notes that it was started."""
    row = rig.registry.instances[id]
    rig.put(replace(row, pid=100 + number, started_at=rig.clock.now(), boot_id="boot"))


def stored(rig: EventRig, run: RunRow) -> RunRow:
    row = rig.store.runs.get(run.id)
    assert row is not None
    return row


@evented
async def test_a_run_is_an_instance_of_its_own_and_its_outcome_is_kept(rig: EventRig) -> None:
    rig.service("nightly", job={})
    run = begin(rig, event=b'{"a":1}')
    await rig.settle()
    assert rig.effects == [("start", run.id)]
    row = rig.registry.instances[run.id]
    assert (row.role, row.release, row.run) == ("run", 1, 1)
    assert rig.jobs.event_of(run.id) == '{"a":1}'
    assert goal_of(rig.registry, "shop.nightly").count == 0
    rig.clock.time += 5
    rig.ended(run.id, 0)
    await rig.settle()
    assert (stored(rig, run).outcome, stored(rig, run).code, stored(rig, run).ended_at) == ("ok", 0, rig.clock.now())
    assert run.id not in rig.registry.instances and rig.told("run.done")


@evented
async def test_a_failed_run_is_tried_again_after_growing_waits(rig: EventRig) -> None:
    rig.service("nightly", job={"retries": 2}, restart={"backoff": {"min": "2s", "max": "3s"}})
    run = begin(rig)
    await rig.settle()
    waits = []
    for attempt in (1, 2):
        rig.ended(run.id, 7)
        await rig.settle()
        again = stored(rig, run).retry_at
        assert again is not None and rig.registry.instances[run.id].state == "exited"
        waits.append(again - rig.clock.now())
        await rig.later(waits[-1])
        assert stored(rig, run).attempts == attempt + 1
        runs(rig, run.id, attempt)
    assert waits == [2, 3]
    rig.ended(run.id, 7)
    await rig.settle()
    assert [kind for kind, _ in rig.effects] == ["start", "start", "start"]
    assert (stored(rig, run).outcome, stored(rig, run).code, stored(rig, run).reason) == ("failed", 7, "exit code 7")


@evented
async def test_what_takes_too_long_is_asked_to_stop_then_killed(rig: EventRig) -> None:
    rig.service("nightly", job={"timeout": 60}, stop={"grace": "10s"})
    run = begin(rig)
    await rig.later(59)
    assert rig.effects == [("start", run.id)]
    await rig.later(1)
    assert rig.effects[-1] == ("signal", run.id)
    await rig.later(9)
    assert rig.effects[-1] == ("signal", run.id)
    await rig.later(1)
    assert rig.effects[-1] == ("kill", run.id)
    rig.ended(run.id, None, "signal 9")
    await rig.settle()
    assert (stored(rig, run).outcome, stored(rig, run).reason) == ("timeout", "it did not end within 1m")


@evented
async def test_another_daemon_goes_on_with_it(rig: EventRig) -> None:
    rig.service("nightly", job={"timeout": 60, "retries": 1})
    run = begin(rig, event=b"{}")
    await rig.restart()
    rig.ended(run.id, None, "the machine restarted", rebooted=True)
    await rig.settle()
    await rig.restart()
    await rig.later(10)
    assert rig.effects[-1] == ("start", run.id) and stored(rig, run).attempts == 2
    assert rig.jobs.event_of(run.id) == "{}"
    runs(rig, run.id, 2)
    rig.ended(run.id, None, "the machine restarted", rebooted=True)
    await rig.settle()
    assert (stored(rig, run).outcome, stored(rig, run).reason) == ("failed", "the machine restarted")


@evented
async def test_with_its_service_a_run_ends_and_is_not_tried_again(rig: EventRig) -> None:
    rig.service("nightly", job={"retries": 3})
    run, waits = begin(rig), begin(rig)
    await rig.settle()
    rig.ended(waits.id, 1)
    await rig.settle()
    rig.change("nightly", stopped=True)
    with pytest.raises(ConflictError, match="it is stopped"):
        begin(rig)
    rig.put(replace(rig.registry.instances[run.id], state="stopping"))  # as the planner does
    rig.ended(run.id, 1)
    await rig.settle()
    assert [stored(rig, each).outcome for each in (run, waits)] == ["stopped", "stopped"]


@evented
async def test_one_that_the_planner_has_ended_and_forgotten_is_closed(rig: EventRig) -> None:
    rig.service("nightly", job={})
    run, purged = begin(rig), begin(rig)
    for each in (run, purged):
        rig.put(replace(rig.registry.instances[each.id], state="gone", exit={"code": 3}))
    rig.store.database.execute("DELETE FROM runs WHERE id = ?", (purged.id,))
    await rig.settle()
    assert (stored(rig, run).outcome, stored(rig, run).code) == ("stopped", 3)
    assert rig.store.runs.get(purged.id) is None and not rig.jobs.under_way("shop.nightly")


@evented
async def test_what_cannot_be_started_is_not_tried_again(rig: EventRig) -> None:
    rig.service("nightly", job={"retries": 3})
    run = begin(rig)
    rig.ended(run.id, None, "no such command: x", fatal=True)
    await rig.settle()
    assert (stored(rig, run).outcome, stored(rig, run).reason) == ("failed", "no such command: x")


@evented
async def test_only_jobs_are_run_and_not_too_many(rig: EventRig) -> None:
    rig.service("web")
    rig.service("nightly", job={})
    with pytest.raises(UserError, match="it is no job"):
        rig.jobs.start("shop", "web", source="run")
    for _ in range(100):
        begin(rig)
    with pytest.raises(ConflictError, match="100 runs of it are under way"):
        begin(rig)
    await rig.queue.enqueue("shop", "nightly", b"{}", source="invoke")
    await rig.settle()
    assert rig.waiting == 1
    for run in rig.jobs.under_way("shop.nightly"):
        rig.ended(run.id, 0)
    await rig.settle()
    assert rig.waiting == 0 and len(rig.jobs.under_way("shop.nightly")) == 1
    for run in rig.jobs.under_way("shop.nightly"):
        rig.ended(run.id, 0)
    await rig.settle()
    assert len(rig.store.runs.of("shop", "nightly", limit=1000)) == KEEP_RUNS
    assert len(rig.store.instances.of("shop", "nightly")) == KEEP_DEAD


@evented
async def test_an_event_becomes_exactly_one_run(rig: EventRig) -> None:
    rig.service("nightly", job={})
    await rig.queue.enqueue("shop", "nightly", b'{"big":"' + b"x" * 40_000 + b'"}', source="s3")
    whole, refuse = rig.store.database.transaction, [True]

    def refusing() -> Any:
        if refuse and refuse.pop():
            raise WorldError("its disk is full")
        return whole()

    rig.store.database.transaction = refusing  # type: ignore[method-assign]
    await rig.settle()
    rig.store.database.transaction = whole  # type: ignore[method-assign]
    await rig.later(2)
    await rig.restart()
    await rig.settle()
    (run,) = rig.jobs.under_way("shop.nightly")
    assert (run.source, run.event, rig.waiting) == ("s3", "", 0), "an event that is too large is left out"
    (told,) = rig.told("run.started")
    assert told.message.endswith("begins, by s3, without its event: 40,010 bytes are too large")


@evented
async def test_who_starts_a_run_is_told_that_its_event_is_too_large(rig: EventRig) -> None:
    rig.service("nightly", job={})
    running = Running(rig.paths, rig.registry, rig.events, rig.bus, rig.clock)
    with pytest.raises(UserError, match="an event of 32,768 bytes: FOURFOLD_EVENT holds less"):
        running.start("shop", "nightly", "é" * (LARGEST_EVENT // 2), "ann")
    running.start("shop", "nightly", "x" * (LARGEST_EVENT - 1), "ann")


@evented
async def test_a_stream_waits_for_the_run(rig: EventRig) -> None:
    rig.service("nightly", job={})
    for code, error in ((0, ""), (7, "Unhandled")):
        waiting = asyncio.create_task(
            rig.events.delivery.at_once("shop", "nightly", b"{}", source="kinesis", trigger="t")
        )
        await rig.settle()
        (run,) = rig.jobs.under_way("shop.nightly")
        assert not waiting.done()
        rig.ended(run.id, code)
        await rig.settle()
        assert (await waiting).error == error
