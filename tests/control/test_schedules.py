"""Schedules over a real store: fired with their state in one transaction, over restarts; what overlaps."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fourfold.errors import WorldError
from fourfold.functions.model import Answer
from fourfold.spec.triggers import Schedule, Trigger
from tests.control.eventrig import EventRig, evented


def minutely(**given: Any) -> list[dict[str, Any]]:
    return [{"schedule": {"cron": "* * * * *", **given}}]


async def live(rig: EventRig) -> None:
    await rig.triggers.converge()


async def minute(rig: EventRig, seconds: float = 60) -> None:
    rig.clock.time += seconds
    rig.schedules.pump()
    await rig.settle()


@evented
async def test_the_event_is_that_of_eventbridge_and_its_time_is_when_it_was_due(rig: EventRig) -> None:
    rig.service(triggers=minutely())
    await live(rig)
    rig.clock.time = 1_000_020.0  # due at 1,000,020
    await minute(rig, 0)
    ((service, payload, _),) = rig.invoking.calls
    event = json.loads(payload)
    assert service == "web" and event["time"] == "1970-01-12T13:47:00Z"
    assert (event["version"], event["detail-type"], event["source"]) == ("0", "Scheduled Event", "aws.events")
    assert event["resources"][0].startswith("arn:aws:events:us-east-1:000000000000:rule/shop-web-")


@evented
async def test_over_a_restart_none_is_lost_or_doubled(rig: EventRig) -> None:
    rig.service(triggers=minutely())
    await live(rig)
    await minute(rig)
    await rig.restart()
    await live(rig)
    await minute(rig, 0)
    assert len(rig.invoking.calls) == 1
    await minute(rig)
    assert len(rig.invoking.calls) == 2
    await rig.events.close()
    rig.clock.time += 600  # nobody is there
    await rig.restart()
    await live(rig)
    await minute(rig, 0)
    await minute(rig, 0)
    assert len(rig.invoking.calls) == 3, "the latest missed one is made up once"


@evented
async def test_a_store_that_takes_nothing_fires_later(rig: EventRig) -> None:
    rig.service(triggers=minutely())
    await live(rig)
    whole = rig.store.database.transaction

    def full() -> object:
        raise WorldError("its disk is full")

    rig.store.database.transaction = full  # type: ignore[method-assign, assignment]
    rig.clock.time += 60
    with pytest.raises(WorldError):
        rig.schedules.pump()
    rig.store.database.transaction = whole  # type: ignore[method-assign]
    await minute(rig, 1)
    assert len(rig.invoking.calls) == 1


@evented
async def test_what_is_stopped_misses_nothing_that_is_made_up(rig: EventRig) -> None:
    rig.service(triggers=minutely())
    await live(rig)
    await minute(rig)
    rig.change("web", stopped=True)
    await live(rig)
    await minute(rig, 600)
    rig.change("web", stopped=False)
    await live(rig)
    await minute(rig, 0)
    assert len(rig.invoking.calls) == 1
    await minute(rig)
    assert len(rig.invoking.calls) == 2

    rig.change("web", stopped=True)
    await rig.restart()  # stopped, and then another daemon
    await live(rig)
    rig.schedules.forget_others()
    assert not rig.store.trigger_states.triggers()


@evented
async def test_an_edit_elsewhere_keeps_what_is_due(rig: EventRig) -> None:
    rig.service(triggers=[{"schedule": {"rate": "1h"}}])
    await live(rig)
    rig.clock.time += 3000
    rig.service(number=2, triggers=[{"schedule": {"rate": "60s"}}, {"schedule": {"rate": "1h", "overlap": "allow"}}])
    await live(rig)
    due = rig.schedules.next_of("shop", "web")
    assert due == rig.clock.now() + 60
    rig.service(number=3, triggers=[{"schedule": {"rate": "1h", "overlap": "allow"}}])
    await live(rig)
    assert rig.schedules.next_of("shop", "web") == rig.clock.now() + 600


OVERLAPS = {"skip": ([1, 1, 1], 1), "queue": ([1, 1, 1], 3), "replace": ([1, 2, 3], 3), "allow": ([1, 2, 3], 3)}
"""Calls after each of three times while the first is not answered, and calls once all are."""


@pytest.mark.parametrize("overlap", OVERLAPS)
def test_what_overlaps(overlap: str, tmp_path: Path) -> None:
    async def run(rig: EventRig) -> None:
        calls, finally_ = OVERLAPS[overlap]
        rig.service(triggers=minutely(overlap=overlap))
        await live(rig)
        rig.invoking.hold = asyncio.Event()
        seen = []
        for _ in range(3):
            await minute(rig)
            seen.append(len(rig.invoking.calls))
        assert seen == calls
        assert rig.invoking.at_once == {"allow": 3}.get(overlap, 1)
        rig.invoking.hold.set()
        await rig.settle()
        assert (len(rig.invoking.calls), rig.waiting) == (finally_, 0)
        assert len(rig.told("trigger.skipped")) == (2 if overlap == "skip" else 0)

    evented(run)(tmp_path)


JOBS = {"skip": [1, 1], "queue": [1, 1], "replace": [1, 1], "allow": [1, 2]}
"""Runs of a job that were started after each of two times, while the first goes on."""


@pytest.mark.parametrize("overlap", JOBS)
def test_what_overlaps_of_a_job(overlap: str, tmp_path: Path) -> None:
    async def run(rig: EventRig) -> None:
        rig.service("nightly", job={}, triggers=minutely(overlap=overlap))
        await live(rig)
        seen = []
        for _ in range(2):
            await minute(rig)
            seen.append(sum(kind == "start" for kind, _ in rig.effects))
        assert seen == JOBS[overlap]
        first = rig.effects[0][1]
        assert (("signal", first) in rig.effects) == (overlap == "replace")
        rig.ended(first, None if overlap == "replace" else 0)
        await rig.settle()
        started = [name for kind, name in rig.effects if kind == "start"]
        assert len(started) == (1 if overlap == "skip" else 2)
        if overlap == "replace":
            assert rig.store.runs.get(first).outcome == "stopped"  # type: ignore[union-attr]

    evented(run)(tmp_path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(["second", "minute", "hour", "restart", "back", "refused"]), max_size=40))
def test_whatever_happens_each_time_is_delivered_at_most_once(tmp_path_factory: Any, steps: list[str]) -> None:
    async def run(rig: EventRig) -> None:
        rig.service(triggers=minutely())
        await live(rig)
        for step in steps:
            rig.clock.time += {"second": 1, "minute": 60, "hour": 3600, "back": -1800}.get(step, 0)
            rig.invoking.answer = lambda service, step=step: Answer(503 if step == "refused" else 200, b"")  # type: ignore[misc]
            if step == "restart":
                await rig.restart()
                await live(rig)
            rig.schedules.pump()
            await rig.settle()
        rig.clock.time += 7200
        rig.invoking.answer = lambda service: Answer(200, b"")
        await rig.settle()
        delivered = {id: json.loads(payload)["time"] for _, payload, id in rig.invoking.calls}
        assert len(set(delivered.values())) == len(delivered)
        assert rig.waiting == 0

    evented(run)(tmp_path_factory.mktemp("schedules"))


def test_two_alike_are_told_apart() -> None:
    from fourfold.control.triggers.source import identities

    same = Trigger(schedule=Schedule(rate=60.0))
    first, second, other = identities([same, same, Trigger(schedule=Schedule(rate=61.0))])
    assert second == f"{first}-2" and other not in (first, second)
