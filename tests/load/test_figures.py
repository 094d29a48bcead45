"""Order of requests, and figures made of their times."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourfold.load.latencies import SHARES, curve, quantile
from fourfold.load.model import Plan, Report, Request
from fourfold.load.picking import spread
from fourfold.load.wire import STOP, plan_line, read_line, read_report, report_line

WEIGHTS = st.lists(st.floats(0.01, 100), min_size=1, max_size=8)
TIMES = st.lists(st.floats(0, 100), min_size=1, max_size=50).map(sorted)


@pytest.mark.parametrize(
    ("weights", "first"),
    [([1], "AAAA"), ([1, 1], "ABAB"), ([2, 1], "ABAABA"), ([3, 1], "AABAAABA"), ([0.5, 0.25, 0.25], "ABCAABCA")],
)
def test_requests_come_evenly_spread(weights: list[float], first: str) -> None:
    assert "".join("ABC"[at] for at in islice(spread(weights), len(first))) == first


@given(WEIGHTS, st.integers(1, 500))
def test_each_comes_as_often_as_it_weighs(weights: list[float], count: int) -> None:
    seen = Counter(islice(spread(weights), count))
    for at, weight in enumerate(weights):
        assert abs(seen[at] - count * weight / sum(weights)) <= len(weights)


@given(TIMES, st.floats(0.001, 1))
def test_a_quantile_is_the_first_value_with_so_many_at_or_below_it(times: list[float], share: float) -> None:
    value = quantile(times, share)
    assert value in times
    assert sum(time <= value for time in times) >= share * len(times) - 1e-6
    assert sum(time < value for time in times) < share * len(times)


@given(TIMES)
def test_a_curve_rises_to_the_longest(times: list[float]) -> None:
    points = curve(times)
    assert [share for share, _ in points] == list(SHARES)
    assert list(points) == sorted(points)
    assert points[-1] == (1.0, times[-1])


def test_plans_and_reports_survive_the_wire() -> None:
    plan = Plan("127.0.0.1", 80, (Request("POST", "/ü", (("A", "b"),), b"\x00\xff", 2.5),), None, 1.5, 3, 2.0)
    report = Report(1.0, 3, 2, 1, {"timeout": 2}, ((0.5, 0.1), (1.0, 0.2)), 0.1, 0.2, None, 0.01, 0.001)
    assert read_line(plan_line(plan)) == plan
    assert read_line(STOP) is None
    assert read_report(report_line(report)) == report
