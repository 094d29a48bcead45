"""When schedules fire, whatever clocks and daemons do: never twice, and never less than promised."""

from __future__ import annotations

import json
from dataclasses import asdict
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fourfold.control.triggers import due
from fourfold.control.triggers.due import CORRECTION, Memory, Timing
from fourfold.spec.cron import When, next_time, parse_when, zone_of

CRONS = ("* * * * *", "*/7 * * * *", "0 3 * * *", "30 2 * * *", "rate(1 minute)", "rate(2 hours)",
         "cron(0/25 8-9 * * ? *)", "0 0 1 * *")  # fmt: skip
ZONES = ("UTC", "Europe/Berlin", "America/New_York")
START = 1_774_656_000.0
"""2026-03-28, the day before clocks change in Europe."""
MAX_AGE = 21_600.0

Steps = st.lists(
    st.one_of(
        st.tuples(st.just("pass"), st.floats(0.5, 7200)),
        st.tuples(st.just("back"), st.floats(1, CORRECTION - 1)),
        st.tuples(st.just("forward"), st.floats(1, 10 * 86400)),
        st.tuples(st.just("restart"), st.just(0.0)),
    ),
    max_size=60,
)


def timing(cron: str, zone: str) -> Timing:
    return Timing(parse_when(cron, None), zone_of(zone), MAX_AGE)


@settings(deadline=None)
@given(st.sampled_from(CRONS), st.sampled_from(ZONES), Steps)
def test_each_time_at_most_once_and_the_latest_missed_one_is_made_up(
    cron: str, zone: str, steps: list[tuple[str, float]]
) -> None:
    schedule = timing(cron, zone)
    now = START
    memory = schedule.begin(now)
    fired: list[float] = []
    for what, seconds in steps:
        now += -seconds if what == "back" else seconds
        if what == "back":
            now = max(now, memory.fired - CORRECTION)
        if what == "restart":
            memory = Memory(**json.loads(json.dumps(asdict(memory))))
        before = memory
        memory, at = schedule.look(memory, now)
        passed = before.due is not None and before.due <= now
        if at is not None:
            assert passed and before.fired < at <= now and now - at <= MAX_AGE
            following = next_time(schedule.when, schedule.zone, at, memory.anchor)
            assert following is None or following > now, "not the latest that was missed"
            assert next_time(schedule.when, schedule.zone, at - 0.5, memory.anchor) == at
            fired.append(at)
        elif passed:
            assert memory.fired > before.fired and now - memory.fired > MAX_AGE
        else:
            assert memory == before
        assert memory.due is None or memory.due > now or memory.due > memory.fired
    assert fired == sorted(set(fired))


@settings(deadline=None)
@given(st.sampled_from(CRONS), st.sampled_from(ZONES), st.floats(0, 86400 * 3), st.integers(1, 40))
def test_none_is_left_out_while_somebody_looks(cron: str, zone: str, shift: float, count: int) -> None:
    schedule = timing(cron, zone)
    memory = schedule.begin(START + shift)
    for _ in range(count):
        due = memory.due
        assert due is not None
        early, at = schedule.look(memory, due - 0.001)
        assert (early, at) == (memory, None)
        memory, at = schedule.look(memory, due + 0.2)
        assert at == due
        assert memory.due == next_time(schedule.when, schedule.zone, due, memory.anchor)


def test_a_clock_that_was_wrong_by_years_is_forgotten() -> None:
    schedule = timing("0 3 * * *", "UTC")
    wrong = START + 4 * 365 * 86400
    memory, _ = schedule.look(schedule.begin(START), wrong)
    memory, at = schedule.look(memory, START + 60)
    assert at is None and memory.due is not None and memory.due - START < 2 * 86400


@pytest.mark.parametrize("cron", ["* * * * *", "cron(* * * * ? *)"])
def test_a_minute_that_was_missed_for_a_year_is_found_quickly(cron: str, monkeypatch: pytest.MonkeyPatch) -> None:
    schedule = timing(cron, "Europe/Berlin")
    begun = schedule.begin(START)
    asked = 0

    def counted(when: When, zone: ZoneInfo, after: float, anchor: float) -> float | None:
        nonlocal asked
        asked += 1
        return next_time(when, zone, after, anchor)

    monkeypatch.setattr(due, "next_time", counted)
    memory, at = schedule.look(begun, START + 365 * 86400 + 30)
    assert at == START + 365 * 86400 and memory.due == at + 60
    assert asked < 5
