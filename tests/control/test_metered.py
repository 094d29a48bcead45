"""Counters that start again, looks that are missed, hosts and their guests: every hour gets what belongs to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourfold.control.costing.metered import Part, Seen, in_hours, reckon
from fourfold.gateway.model import InstanceStats
from fourfold.store.model import UsageHour, UsageMark
from fourfold.store.tables.usage import HOUR

NOON = 12 * 3600.0
MIB = 2**20
KEY = ("shop", "web", "process")
WEB = Seen("web-1-a", *KEY, run=1, since=NOON + 10, cpu_seconds=2.0, memory_bytes=100 * MIB)
MARK = UsageMark("web-1-a", *KEY, None, 1, NOON + 60, 1.5, 100 * MIB, 40, 3)


def stats(requests: int, errors: int = 0, seconds: float = 0.5, name: str = "web-1-a") -> InstanceStats:
    return InstanceStats(name, requests, errors, 0, 0, seconds)


def hour(number: float = 12, **given: Any) -> UsageHour:
    return UsageHour("shop", "web", int(number * HOUR), "process", **vars(Part(**given)))


def look(
    marks: Sequence[UsageMark], seen: Sequence[Seen], served: Sequence[InstanceStats] = (), at: float = NOON + 120
) -> tuple[list[UsageHour], dict[str, UsageMark]]:
    found = reckon(at, {mark.instance: mark for mark in marks}, seen, {each.instance: each for each in served}, set())
    return found.hours, found.marks


def test_the_first_look_counts_from_the_start() -> None:
    hours, marks = look([], [WEB], [stats(10, 2)])
    wanted = {"cpu_seconds": 2.0, "memory_byte_seconds": 110 * 100.0 * MIB, "instance_seconds": 110.0}
    assert hours == [hour(requests=10, errors=2, response_seconds=5.0, **wanted)]
    assert marks == {"web-1-a": UsageMark("web-1-a", *KEY, None, 1, NOON + 120, 2.0, 100 * MIB, 10, 2)}


@pytest.mark.parametrize(
    ("seen", "wanted"),
    [
        pytest.param({}, Part(cpu_seconds=0.5, memory_byte_seconds=6000.0 * MIB, instance_seconds=60), id="goes on"),
        pytest.param(
            {"memory_bytes": 200 * MIB, "cpu_seconds": None},
            Part(memory_byte_seconds=9000.0 * MIB, instance_seconds=60),
            id="memory in between, CPU not known",
        ),
        pytest.param(
            {"cpu_seconds": 1.0},
            Part(memory_byte_seconds=6000.0 * MIB, instance_seconds=60),
            id="a process of it ended, which nobody counts any more",
        ),
        pytest.param(
            {"run": 2, "since": NOON + 100},
            Part(cpu_seconds=2.0, memory_byte_seconds=2000.0 * MIB, instance_seconds=20),
            id="started again",
        ),
    ],
)
def test_what_was_taken_since_the_last_look(seen: dict[str, Any], wanted: Part) -> None:
    hours, marks = look([MARK], [replace(WEB, **seen)], [stats(47, 3)])
    assert hours == [hour(**vars(wanted + Part(7, 0, 3.5)))]
    again, _ = look([*marks.values()], [replace(WEB, **seen)], [stats(47, 3)])
    assert again == []


def test_of_one_that_ended_its_last_requests_are_counted_and_it_is_forgotten() -> None:
    ended = replace(MARK, ended=True)
    assert look([ended], [], [stats(50, 4)]) == ([hour(requests=10, errors=1, response_seconds=5.0)], {})
    assert look([MARK], []) == ([], {})
    found = reckon(NOON + 120, {MARK.instance: MARK}, [], {}, {MARK.instance})
    assert found.marks == {MARK.instance: ended}, "it may be started again, and the gateway knows it by the same name"
    hours, marks = look([ended], [WEB])
    assert (hours, marks) == ([], {}), "it was looked at before it ended"


def test_requests_of_functions_are_in_their_journals() -> None:
    hours, _ = look([], [replace(WEB, pattern="function")], [stats(10)])
    assert [(each.pattern, each.requests, each.cpu_seconds) for each in hours] == [("function", 0, 2.0)]


def test_guests_share_what_their_host_takes_beyond_them() -> None:
    host = Seen("apps-1-h", "shop", "apps", "group", 1, NOON, None, True, 10.0, 500 * MIB)
    a = replace(WEB, pattern="shared", host="apps-1-h", since=NOON + 20, cpu_seconds=4.0)
    b = replace(a, instance="b-1-b", service="b", cpu_seconds=None, memory_bytes=None)
    gone = UsageMark("c-1-c", "shop", "c", "shared", "apps-1-h", 1, NOON + 50, 0.0, 0, 0, 0, ended=True)
    hours, marks = look([gone], [host, a, b])
    found = {each.service: (each.cpu_seconds, each.memory_byte_seconds / MIB, each.instance_seconds) for each in hours}
    rest = (500 * 120 - 100 * 100) / 3
    assert found == {"web": (6.0, 10000 + rest, 100.0), "b": (2.0, rest, 100.0), "c": (2.0, rest, 0.0)}
    assert marks.keys() == {"apps-1-h", "web-1-a", "b-1-b"}
    later = replace(host, cpu_seconds=13.0)
    hours, _ = look([*marks.values(), gone], [later, a, b], at=NOON + 130)
    assert {each.service: each.cpu_seconds for each in hours} == {"web": 1.5, "b": 1.5}, "c ended before"


def test_a_span_over_hours_is_spread_and_loses_nothing() -> None:
    part = Part(7, 2, 3.5, 10.0, 100.0, 7200.0)
    hours = [*in_hours(KEY, part, NOON - 1800, NOON + 5400)]
    assert [each.hour / HOUR for each in hours] == [11, 12, 13]
    assert [each.requests for each in hours] == [2, 3, 2]
    assert [each.cpu_seconds for each in hours] == [2.5, 5.0, 2.5]
    assert [*in_hours(KEY, part, NOON - 60, NOON)] == [hour(11, **vars(part))], "a look at the very end of an hour"
    assert [*in_hours(KEY, part, NOON + 60, NOON)] == [hour(12, **vars(part))], "the clock was set back"
    assert len([*in_hours(KEY, part, 0.0, NOON + 10_000 * HOUR)]) <= 400 * 24 + 1


STEPS = st.lists(
    st.tuples(st.sampled_from(["look", "restart", "lost look"]), st.integers(0, 50), st.integers(1, 4000)), max_size=12
)


@given(STEPS)
def test_whatever_happens_between_looks_all_is_counted_once(steps: list[tuple[str, int, int]]) -> None:
    """Each step: some requests, each of which takes a second of CPU; then time goes by."""
    counted: Counter[str] = Counter()
    marks: dict[str, UsageMark] = {}
    now, since, run, cpu, requests, all_cpu = NOON, NOON, 1, 0.0, 0, 0.0

    def take() -> None:
        seen = Seen("web-1-a", *KEY, run, since, None, False, cpu, MIB)
        found = reckon(now, marks, [seen], {"web-1-a": stats(requests)}, {"web-1-a"})
        marks.clear()
        marks.update(found.marks)
        for each in found.hours:
            counted.update({"requests": each.requests, "seconds": each.instance_seconds, "cpu": each.cpu_seconds})

    for what, more, seconds in steps:
        requests, cpu, now = requests + more, cpu + more, now + seconds
        all_cpu += more
        if what != "lost look":
            take()
        if what == "restart":
            run, cpu, since = run + 1, 0.0, now
    take()
    assert counted["requests"] == requests
    assert counted["cpu"] == pytest.approx(all_cpu)
    assert counted["seconds"] == pytest.approx(now - NOON)
