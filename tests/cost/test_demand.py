"""Instances hour by hour, against counting them one by one."""

from __future__ import annotations

from math import ceil, inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fourfold.cost.demand import of_traffic
from fourfold.cost.model import HOURS_PER_MONTH, Traffic
from tests.cost.examples import footprint, traffic

HOURS = st.lists(st.integers(0, 100_000), min_size=1, max_size=60)


@settings(deadline=None)
@given(HOURS, st.floats(0.01, 50), st.integers(0, 3))
def test_as_counted_one_by_one(hours: list[int], capacity: float, least: int) -> None:
    found = of_traffic(traffic(*hours)).instances(capacity, least)
    counts = [max(least, ceil(each / 3600 / capacity - 1e-9)) for each in hours]
    month = HOURS_PER_MONTH / len(hours)
    assert found.hours == pytest.approx(sum(counts) * month)
    assert found.some == pytest.approx(sum(1 for count in counts if count) * month) and found.peak == max(counts)


@settings(deadline=None)
@given(HOURS, st.floats(1, 1e10))
def test_scaled_keeps_its_shape(hours: list[int], requests: float) -> None:
    demand = of_traffic(traffic(*hours))
    scaled = demand.scaled(requests)
    assert scaled.requests_per_month == pytest.approx(requests)
    if sum(hours):
        factor = requests / demand.requests_per_month
        assert scaled.peak == pytest.approx(demand.peak * factor)
        assert scaled.below(demand.peak * factor / 2) == pytest.approx(demand.below(demand.peak / 2) * factor)


@settings(deadline=None)
@given(HOURS, st.floats(0, 0.1), st.floats(0, 2))
def test_cpu_beyond_a_baseline_by_days(hours: list[int], cpu: float, covered: float) -> None:
    found = of_traffic(traffic(*hours)).beyond(inf, 1, footprint("vm", cpu_seconds_per_request=cpu), covered)
    days = [hours[at : at + 24] for at in range(0, len(hours), 24)]
    by_day = sum(max(0.0, sum(day) / 3600 * cpu - covered * len(day)) for day in days)
    assert found == pytest.approx(by_day * HOURS_PER_MONTH / len(hours))


def test_without_hours_there_is_nothing_to_answer() -> None:
    demand = of_traffic(Traffic(()))
    assert demand.requests_per_month == 0 and demand.instances(1.0, 2) == (2 * HOURS_PER_MONTH, HOURS_PER_MONTH, 2)
    assert demand.scaled(HOURS_PER_MONTH * 3600).peak == pytest.approx(1.0), "scaled, it is even"
    assert of_traffic(traffic(5)).scaled(0).requests_per_month == 0


def test_no_instance_more_for_what_adding_loses() -> None:
    assert of_traffic(traffic(3600 * 0.7 * 3)).instances(0.7, 0).peak == 3
