"""Hours of services as CSV and JSON, read and written."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fourfold.cost.comparison import PATTERNS, Pattern
from fourfold.cost.model import Hour, Traffic
from fourfold.cost.usagefile import MOST_HOURS, UNNAMED, ServiceUsage, parse_usage, to_csv
from fourfold.errors import SpecError

AT = 1_795_334_400.0
"""2026-11-22T08:00:00Z."""


def test_csv() -> None:
    text = (
        "\ufeffhour, service ,pattern,requests,cpu_seconds,memory_bytes\n"
        "2026-11-22T08:00:00Z,web,process,100,1.5,1e6\n"
        "2026-11-22T10:30:00+01:00,web,container, 50 ,,\n"
        f"{AT + 3 * 3600},web,,7\n"
        "2026-11-22T08:00,api,,0,,\n"
    )
    api, web = parse_usage(text, "u.csv")
    assert api == ServiceUsage("api", None, *[Traffic((Hour(AT, 0.0),))] * 2)
    assert web.pattern == "container", "the newest that is told"
    assert web.traffic.hours == (
        Hour(AT, 100.0, 1.5, 1e6), Hour(AT + 3600, 50.0), Hour(AT + 7200, 0.0), Hour(AT + 10800, 7.0)
    )  # fmt: skip


def test_json() -> None:
    rows = [{"hour": "2026-11-22T08:00:00Z", "requests": 5, "response_seconds": 0.1, "service": None}]
    (only,) = parse_usage(json.dumps(rows), "u.json")
    assert only == ServiceUsage(UNNAMED, None, *[Traffic((Hour(AT, 5.0, response_seconds=0.1),))] * 2)


def test_lines_of_the_same_hour_are_added() -> None:
    """As an hour in which it moved: one line for each pattern."""
    text = (
        "hour,requests,pattern,cpu_seconds,memory_bytes,response_seconds,instances\n"
        f"{AT},30,process,1,100,0.1,0.5\n{AT + 60},10,container,2,200,0.5,0.5\n"
    )
    (only,) = parse_usage(text, "u.csv")
    assert only.traffic.hours == (Hour(AT, 40.0, 3.0, 300.0, 0.2, 1.0),)
    assert only.under_it.hours == (Hour(AT, 10.0, 2.0, 200.0, 0.5, 0.5),), "in the container that it runs in at last"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "u: has no hours"),
        ("hour,requests\n", "u: has no hours"),
        ("time,requests\n", "u:1: unknown column 'time': known are hour, service"),
        ("hour,request\n1,2\n", "did you mean `requests`?"),
        ("hour\n1\n", "u:1: the column `requests` is missing"),
        ("hour,requests\n1,2,3\n", "u:2: has more values than the first line"),
        ("hour,requests\n1,x\n2,-1\n", "u:3: requests: expected a number, 0 or more, got '-1'"),
        ("hour,requests\n1,nan\n", "requests: expected a number"),
        ("hour,requests\n,5\n", "u:2: `hour` is missing"),
        ("hour,requests\n5,\n", "u:2: `requests` is missing"),
        ("hour,requests\nyesterday,5\n", "hour: expected a time such as 2026-11-22T08:00:00Z or epoch seconds"),
        ("hour,requests\n1e300,5\n", "hour: expected a time"),
        ("hour,requests,pattern\n1,5,docker\n", "pattern: expected one of process, shared"),
        (f"hour,requests\n0,1\n{MOST_HOURS * 3600},1\n", "the hours of service are more than three years apart"),
        ('hour,requests\n"1,2\n', "`requests` is missing"),
        ("hour,requests\r1,2\n", "u:1: is not CSV: new-line character"),
        ("[1]", "u: expected a list of objects"),
        ("{}", "u: expected a list of objects"),
        ("[{]", "u: is not JSON"),
        ("[]", "u: has no hours"),
        (f'[{{"hour": 1{"0" * 400}, "requests": 1}}]', "u: [0]: hour: expected a time"),
        (f'[{{"hour": 1, "requests": 1{"0" * 400}}}]', "u: [0]: requests: expected a number, 0 or more, got a huge"),
        ('[{"hour": true, "requests": 1}]', "u: [0]: hour: expected a time"),
        ('[{"hour": 1, "requests": [1]}]', "u: [0]: requests: expected a number, 0 or more, got a list"),
        ('[{"hour": 1, "requests": 1, "service": 3}]', "u: [0]: service: expected a name, got 3"),
        ("[" * 100_000, "u: is not JSON"),
        ("hour,requests\n" + "x,1\n" * 50, "and 30 more"),
    ],
)  # fmt: skip
def test_what_is_wrong_and_where(text: str, said: str) -> None:
    with pytest.raises(SpecError) as refused:
        parse_usage(text, "u")
    assert said in str(refused.value)


_NUMBER = st.floats(0, 1e12).map(lambda number: float(f"{number:.10g}"))
_MAYBE = st.none() | _NUMBER
_HOURS = st.builds(Hour, st.just(0.0), _NUMBER.map(lambda number: round(number, 6)), _MAYBE, _MAYBE, _MAYBE, _MAYBE)


@settings(deadline=None)
@given(st.lists(_HOURS, min_size=1, max_size=5), st.sampled_from([None, *PATTERNS]), st.sampled_from(["a", 'b, "c"']))
def test_what_is_written_is_read_again(hours: list[Hour], pattern: Pattern | None, service: str) -> None:
    traffic = Traffic(tuple(replace(hour, start=AT + 3600 * at) for at, hour in enumerate(hours)))
    rows = [{**vars(hour), "hour": hour.start, "service": service, "pattern": pattern} for hour in traffic.hours]
    assert parse_usage(to_csv(rows), "u.csv") == [ServiceUsage(service, pattern, traffic, traffic)]
