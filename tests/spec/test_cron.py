"""When schedules are due, from tables."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fourfold.errors import SpecError
from fourfold.spec.cron import next_time, parse_when, zone_of
from fourfold.spec.load import load
from fourfold.spec.triggers import Schedule


def moment(text: str, zone: str = "UTC", fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


def due(cron: str, after: float, zone: str, count: int) -> list[str]:
    """The next times, as clocks in UTC show them."""
    when, found = parse_when(cron, None), []
    for _ in range(count):
        time = next_time(when, zone_of(zone), after, anchor=after)
        if time is None:
            break
        found.append(datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M"))
        after = time
    return found


TIMES = {
    "every five minutes": ("*/5 * * * *", "2026-01-31T23:52", "UTC", ["2026-01-31 23:55", "2026-02-01 00:00"]),
    "on itself is the next one": ("0 3 * * *", "2026-01-01T03:00", "UTC", ["2026-01-02 03:00"]),
    "in Seoul": ("0 3 * * *", "2026-01-01T00:00", "Asia/Seoul", ["2026-01-01 18:00", "2026-01-02 18:00"]),
    "day or weekday": ("0 0 13 * 5", "2026-02-12T00:01", "UTC", ["2026-02-13 00:00", "2026-02-20 00:00"]),
    "last day": ("0 0 L * *", "2026-02-01T00:00", "UTC", ["2026-02-28 00:00", "2026-03-31 00:00"]),
    "leap day": ("0 0 29 2 *", "2026-01-01T00:00", "UTC", ["2028-02-29 00:00", "2032-02-29 00:00"]),
    "left out by clocks": ("30 2 * * *", "2026-03-28T12:00", "Europe/Berlin", ["2026-03-29 01:00", "2026-03-30 00:30"]),
    "twice by clocks": ("30 2 * * *", "2026-10-24T12:00", "Europe/Berlin", ["2026-10-25 00:30", "2026-10-26 01:30"]),
    "AWS at 18": ("cron(0 18 * * ? *)", "2026-01-01T18:00", "UTC", ["2026-01-02 18:00"]),
    "AWS weekdays": ("cron(0 8 ? * MON-FRI *)", "2026-01-02T08:00", "UTC", ["2026-01-05 08:00", "2026-01-06 08:00"]),
    "AWS from 0 by 5": ("cron(0/25 8-9 * * ? *)", "2026-01-01T08:20", "UTC", [
        "2026-01-01 08:25", "2026-01-01 08:50", "2026-01-01 09:00"]),
    "AWS first Monday": ("cron(0 9 ? * 2#1 *)", "2026-01-01T00:00", "UTC", ["2026-01-05 09:00", "2026-02-02 09:00"]),
    "AWS fifth Friday": ("cron(0 9 ? * 6#5 *)", "2026-01-01T00:00", "UTC", ["2026-01-30 09:00", "2026-05-29 09:00"]),
    "AWS last Friday": ("cron(0 9 ? * 6L *)", "2026-01-01T00:00", "UTC", ["2026-01-30 09:00", "2026-02-27 09:00"]),
    "AWS L of the week": ("cron(0 9 ? * L *)", "2026-01-01T00:00", "UTC", ["2026-01-03 09:00", "2026-01-10 09:00"]),
    "AWS last day": ("cron(59 23 L * ? *)", "2026-02-01T00:00", "UTC", ["2026-02-28 23:59", "2026-03-31 23:59"]),
    "AWS weekday near 15": ("cron(0 0 15W * ? *)", "2026-02-01T00:00", "UTC", ["2026-02-16 00:00", "2026-03-16 00:00"]),
    "AWS 1W stays in its month": ("cron(0 0 1W * ? *)", "2026-07-15T00:00", "UTC", ["2026-08-03 00:00"]),
    "AWS last weekday": ("cron(0 0 LW * ? *)", "2026-05-01T00:00", "UTC", ["2026-05-29 00:00", "2026-06-30 00:00"]),
    "AWS 31W only where it is": ("cron(0 0 31W * ? *)", "2026-02-01T00:00", "UTC", ["2026-03-31 00:00"]),
    "AWS years": ("cron(0 0 1 1 ? 2027,2029)", "2026-02-01T00:00", "UTC", ["2027-01-01 00:00", "2029-01-01 00:00"]),
    "AWS years by two": ("cron(0 0 1 JAN ? 2027/2)", "2027-02-01T00:00", "UTC", ["2029-01-01 00:00"]),
    "AWS left out by clocks": ("cron(30 2 * * ? *)", "2026-03-28T12:00", "Europe/Berlin", [
        "2026-03-29 01:00", "2026-03-30 00:30"]),
    "AWS twice by clocks": ("cron(30 2 * * ? *)", "2026-10-24T12:00", "Europe/Berlin", [
        "2026-10-25 00:30", "2026-10-26 01:30"]),
    "AWS every hour that passes": ("cron(0 * * * ? *)", "2026-10-24T23:30", "UTC", [
        "2026-10-25 00:00", "2026-10-25 01:00", "2026-10-25 02:00"]),
}  # fmt: skip


@pytest.mark.parametrize("name", TIMES)
def test_due(name: str) -> None:
    cron, after, zone, expected = TIMES[name]
    assert due(cron, moment(after), zone, len(expected)) == expected


@pytest.mark.parametrize("cron", ["0 * * * *", "cron(0 * * * ? *)"])
@pytest.mark.parametrize("night", ["2026-10-25T00:30", "2026-03-29T00:30"])
def test_every_hour_goes_on_by_the_hour_when_clocks_change(cron: str, night: str) -> None:
    when, after = parse_when(cron, None), moment(night, "Europe/Berlin")
    for _ in range(6):
        found = next_time(when, zone_of("Europe/Berlin"), after, 0)
        assert found is not None and 0 < found - after <= 3600
        after = found


def test_the_second_of_two_alike_hours_is_not_due_again() -> None:
    after = moment("2026-10-25T02:10", "Europe/Berlin", fold=1)
    assert due("30 2 * * *", after, "Europe/Berlin", 1) == ["2026-10-26 01:30"]
    assert due("cron(30 2 * * ? *)", after, "Europe/Berlin", 1) == ["2026-10-26 01:30"]


def test_what_is_over_is_never_due_again() -> None:
    assert due("cron(0 0 1 1 ? 2020)", moment("2026-01-01T00:00"), "UTC", 1) == []


@pytest.mark.parametrize(
    ("cron", "seconds"), [("rate(1 minute)", 60), ("rate(5 minutes)", 300), ("rate(1 day)", 86400)]
)
def test_rates_count_from_when_they_began(cron: str, seconds: float) -> None:
    when, zone = parse_when(cron, None), zone_of("UTC")
    assert next_time(when, zone, 1000.0, 1000.0) == 1000 + seconds
    assert next_time(when, zone, 1000 + seconds, 1000.0) == 1000 + 2 * seconds
    assert next_time(when, zone, 999.0, 1000.0) == 1000 + seconds


@settings(deadline=None)
@given(st.sampled_from([cron for cron, *_ in TIMES.values()]), st.floats(1.6e9, 2.0e9), st.sampled_from(
    ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Seoul"]))  # fmt: skip
def test_the_next_time_is_later_and_nothing_is_left_out(cron: str, after: float, zone: str) -> None:
    when = parse_when(cron, None)
    found = next_time(when, zone_of(zone), after, after)
    if found is not None:
        assert found > after
        assert next_time(when, zone_of(zone), (after + found) / 2, after) == found


WRONG = {
    "* * * *": "expected five fields",
    "61 * * * *": "minute",
    "* * * * * *": "expected five fields",
    "0 0 31 2 *": "day-of-month",
    "@daily": "expected five fields",
    "cron(0 18 * * *)": "six fields",
    "cron(0 18 * * * *)": "exactly one of day of month and day of week is ?",
    "cron(0 18 ? * ? *)": "exactly one of",
    "cron(60 18 * * ? *)": "minutes between 0 and 59",
    "cron(0 18 ? * 8 *)": "day of week between 1 and 7",
    "cron(0 18 ? * MON#6 *)": "week of the month",
    "cron(0 18 30 2 ? *)": "never due",
    "cron(0/0 18 * * ? *)": "minutes such as 0/5",
    "cron(0 9-8 * * ? *)": "the smaller first",
    "cron(0 9 XW * ? *)": "day of month",
    "rate(1 minutes)": "expected rate(1 minute)",
    "rate(5 minute)": "expected rate(5 minutes)",
    "rate(0 minutes)": "expected a rate such as",
    "rate(5 seconds)": "expected a rate such as",
}


@pytest.mark.parametrize("cron", WRONG)
def test_what_is_no_time_is_refused_with_the_reason(cron: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_when(cron, None)
    assert WRONG[cron] in str(caught.value)


def test_the_file_is_refused_with_line_and_reason(tmp_path: Path) -> None:
    file = tmp_path / "fourfold.yaml"
    file.write_text(
        "app: shop\nservices:\n  nightly:\n    run: echo\n    job: {}\n    triggers:\n"
        '      - schedule: {cron: "61 * * * *"}\n'
        "      - schedule: {rate: 5m, timezone: Mars/Base}\n"
    )
    with pytest.raises(SpecError) as caught:
        load(file, env=None, environ={})
    lines = [(problem.line, problem.path) for problem in caught.value.problems]
    assert (7, "services.nightly.triggers[0].schedule.cron") in lines
    assert (8, "services.nightly.triggers[1].schedule.timezone") in lines
    assert "Asia/Seoul" in str(caught.value)


def test_a_schedule_holds_what_the_file_says() -> None:
    assert Schedule.model_validate({"rate": "5m"}).rate == 300
