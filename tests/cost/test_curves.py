"""Where one pattern becomes cheaper than another, against what can be worked out by hand."""

from __future__ import annotations

from itertools import pairwise
from math import ceil

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fourfold.cost.comparison import Pattern
from fourfold.cost.curves import MOST, break_evens, crossings, curve, grid
from fourfold.cost.model import HOURS_PER_MONTH, Footprint, Wanted
from fourfold.cost.monthly import Reckoning
from tests.cost.examples import GIB, MIB, PRICES, footprint, monthly_requests, traffic

GRID = grid(1.0, 1e9, 24)


def reckoning(each: Footprint, wanted: Wanted | None = None) -> Reckoning:
    return Reckoning(monthly_requests(1e6), each, wanted or Wanted(memory_limit=512 * MIB), PRICES)


@settings(deadline=None)
@given(
    st.floats(0.01, 1e3), st.floats(1e-9, 1e-3), st.floats(0.01, 1e3), st.floats(1e-9, 1e-3)
)  # fmt: skip
def test_two_lines_meet_where_the_closed_form_says(fixed: float, each: float, other_fixed: float, other: float) -> None:
    """fixed + each * x = other_fixed + other * x."""
    found = list(crossings(lambda x: fixed + each * x, lambda x: other_fixed + other * x, GRID))
    slope = each - other
    meeting = (other_fixed - fixed) / slope if slope else -1.0
    inside = GRID[0] * 1.2 < meeting < GRID[-1] / 1.2
    apart = abs(fixed - other_fixed) > 1e-6 * max(fixed, other_fixed)
    if inside and apart and abs(slope) > 1e-6 * max(each, other):
        ((at, one_is_cheaper_below),) = found
        assert at == pytest.approx(meeting, rel=1e-6) and one_is_cheaper_below == (fixed < other_fixed)
    elif meeting <= 0 or meeting > GRID[-1] * 1.2:
        assert not found


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 20), st.floats(0.001, 2.0), st.sampled_from([128, 256, 512, 1024]))
@example(1, 0.1, 128)
def test_function_against_a_task_that_is_large_enough(least: int, seconds: float, megabytes: int) -> None:
    """Lambda: x * (request + seconds * GB * price). Fargate: what stands there, as long as it is enough."""
    seconds = ceil(seconds * 1000) / 1000
    wanted = Wanted(min_instances=least, memory_limit=megabytes * MIB)
    waits = {"cpu_seconds_per_request": 0.0, "seconds_per_request": seconds, "requests_per_second": 1e9}
    found = break_evens(
        {pattern: reckoning(footprint(pattern, **waits), wanted) for pattern in _patterns("container", "function")}
    )
    gb = megabytes / 1024
    stands = least * HOURS_PER_MONTH * (0.25 * 0.04048 + max(0.5, gb) * 0.004445)
    meeting = stands / (0.0000002 + seconds * gb * 0.0000166667)
    (only,) = found
    assert only.between == ("function", "container")
    assert only.requests_per_month == pytest.approx(meeting, rel=1e-6)


def test_a_jump_is_found_where_it_is() -> None:
    """One instance for each 100 requests a month and begun; beside 5.5 dollars."""
    found = list(crossings(lambda x: float(ceil(x / 100)), lambda x: 5.5, GRID))
    ((at, one_is_cheaper_below),) = found
    assert at == pytest.approx(500.0, rel=1e-6) and one_is_cheaper_below


def test_what_changes_often_is_told_by_its_first_and_last_time() -> None:
    """A line beside steps that it crosses again and again."""
    tasks = footprint("container", cpu_seconds_per_request=0.0025, requests_per_second=1e9)
    functions = footprint("function", cpu_seconds_per_request=0.0, seconds_per_request=0.001)
    wanted = Wanted(min_instances=1, memory_limit=128 * MIB)
    price = PRICES.lambda_.model_copy(update={"request": 5.2e-8, "gb_second": 0.0})
    fargate = PRICES.fargate.model_copy(update={"sizes": PRICES.fargate.sizes[:1]})
    prices = PRICES.model_copy(update={"lambda_": price, "fargate": fargate})
    both = {
        each.pattern: Reckoning(monthly_requests(1e6), each, wanted, prices) for each in (tasks, functions)
    }  # fmt: skip
    every = list(crossings(both["function"].dollars, both["container"].dollars, GRID))
    found = break_evens(both)
    assert len(every) > 2 and len(found) == 2
    assert [each.requests_per_month for each in found] == [pytest.approx(every[0][0]), pytest.approx(every[-1][0])]
    assert found[0].between == ("function", "container")


def test_alike_is_no_break_even() -> None:
    alike = {pattern: reckoning(footprint(pattern)) for pattern in _patterns("process", "shared")}
    assert break_evens(alike) == () and break_evens({}) == ()


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(0, 100_000), min_size=1, max_size=48),
    st.sampled_from(["process", "shared", "container", "vm", "function"]),
    st.floats(0.0001, 0.1),
)
def test_more_requests_never_cost_less(hours: list[int], pattern: Pattern, cpu: float) -> None:
    each = footprint(pattern, cpu_seconds_per_request=cpu, seconds_per_request=2 * cpu, requests_per_second=1 / cpu)
    points = curve(Reckoning(traffic(*hours), each, Wanted(), PRICES)).points
    requests, costs = [x for x, _ in points], [y for _, y in points]
    assert requests == sorted(set(requests)) and requests[-1] >= MOST
    assert all(low <= high * (1 + 1e-9) for low, high in pairwise(costs))


def test_a_curve_says_whose_prices_it_is_made_of() -> None:
    found = curve(reckoning(footprint("vm", memory_bytes=3.0 * GIB), Wanted()))
    assert found.place == "EC2" and found.points[0][0] == 1000
    assert found.points[0][1] == pytest.approx(730 * 0.0416 + 8 * 0.08)


def _patterns(*names: Pattern) -> tuple[Pattern, ...]:
    return names
