"""Footprints from comparisons and from usage, and what is estimated where nothing was measured."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest

from fourfold.cost.comparison import PATTERNS, Comparison, Latency, Load, Machine, Pattern, PatternResult
from fourfold.cost.estimate import footprints, from_usage, of_all, reasons, under_all
from fourfold.cost.model import Hour, Traffic, Wanted
from fourfold.cost.monthly import Reckoning
from tests.cost.examples import MIB, PRICES, footprint


def result(pattern: Pattern, **given: Any) -> PatternResult:
    usual: dict[str, Any] = {
        "available": True,
        "idle_memory_bytes": 40 * MIB,
        "loaded_memory_bytes": 50 * MIB,
        "next_instance_memory_bytes": 30 * MIB,
        "cpu_seconds_per_1000_requests": 4.0,
        "requests_per_second": 200.0,
        "latency_seconds": Latency(p50=0.005, p95=0.02, p99=0.03),
        "start_seconds": 0.3,
    }
    return PatternResult(pattern=pattern, **{**usual, **given})


def comparison(*results: PatternResult, accelerator: str | None = "kvm") -> Comparison:
    return Comparison(
        app="shop",
        service="catalog",
        release=3,
        made_at="2026-11-22T08:00:00Z",
        quick=False,
        rounds=5,
        seconds=600,
        machine=Machine(cores=2, memory_bytes=8 * 1024 * MIB, kernel="6.1", accelerator=accelerator),
        load=Load(source="default", requests_per_second=20, duration_seconds=10, distinct_requests=1),
        patterns=results,
    )


def test_what_was_measured() -> None:
    found = footprints(comparison(result("process"), result("container", loaded_memory_bytes=None)))
    assert found["process"] == footprint(
        "process", memory_bytes=50.0 * MIB, next_memory_bytes=30.0 * MIB, cpu_seconds_per_request=0.004,
        seconds_per_request=0.005, requests_per_second=200.0, start_seconds=0.3,
    )  # fmt: skip
    assert found["container"].memory_bytes == 40 * MIB, "idle, where nobody measured it under load"
    assert set(found) == {"process", "container"}


def test_seconds_of_a_request_are_the_curves_mean() -> None:
    """Half of them within 10 ms evenly, half within 30 ms."""
    curve = ((0.0, 0.0), (0.5, 0.010), (1.0, 0.030))
    latency = Latency(p50=0.010, p95=0.028, p99=0.0296, curve=curve)
    (found,) = footprints(comparison(result("process", latency_seconds=latency))).values()
    assert found.seconds_per_request == pytest.approx(0.5 * 0.005 + 0.5 * 0.020)


def test_what_is_not_available_has_none_but_a_reason() -> None:
    made = comparison(result("process"), PatternResult(pattern="vm", available=False, reason="no /dev/kvm"))
    assert set(footprints(made)) == {"process"} and reasons(made) == {"vm": "no /dev/kvm"}


def test_what_nobody_asked_for_is_estimated_too() -> None:
    made = comparison(result("process"), PatternResult(pattern="vm", available=False, reason="no /dev/kvm"))
    found = of_all(made)
    assert set(found) == {"process", "shared", "container", "function"}
    assert [pattern for pattern, each in found.items() if each.measured] == ["process"]


def test_what_it_runs_as_is_possible_though_no_second_one_was() -> None:
    live = PatternResult(pattern="process", available=False, live=True, reason="shop.catalog has the port 7000")
    made = comparison(live, result("container"))
    assert reasons(made) == {} and not of_all(made)["process"].measured
    assert set(footprints(made)) == {"container"}


def test_what_was_not_measured_is_estimated_and_says_so() -> None:
    bare = PatternResult(pattern="container", available=True)
    found = footprints(comparison(bare, result("process")))
    assert found["process"].measured and not found["container"].measured
    assert found["container"].memory_bytes == pytest.approx(50.5 * MIB)
    assert footprints(comparison(bare)) == {}, "nothing to estimate it from"


def test_emulated_machines_are_not_priced_by_their_cpu() -> None:
    slow = result("vm", cpu_seconds_per_1000_requests=80.0, requests_per_second=12.0, start_seconds=4.0)
    emulated = footprints(comparison(result("process"), slow, accelerator="tcg"))["vm"]
    assert not emulated.measured and emulated.start_seconds == 4.0
    assert (emulated.cpu_seconds_per_request, emulated.requests_per_second) == (0.004, 200.0)
    assert footprints(comparison(result("process"), slow))["vm"].cpu_seconds_per_request == 0.08


def test_a_rented_sandbox_has_nobody_to_share_memory_with() -> None:
    small = result("function", loaded_memory_bytes=90 * MIB, next_instance_memory_bytes=6 * MIB)
    found = footprints(comparison(result("process"), small))["function"]
    assert (found.memory_bytes, found.next_memory_bytes) == (50 * MIB, 6 * MIB)
    assert found.measured


def test_from_usage() -> None:
    """Two instances; 3,600 requests take 14.4 s beside the 0.01 cores of each that idle hours show."""
    busy = Hour(0.0, 3600, cpu_seconds=72 + 14.4, memory_bytes=120.0 * MIB, response_seconds=0.02, instances=2.0)
    idle = Hour(3600.0, 0, cpu_seconds=72, memory_bytes=100.0 * MIB, instances=2.0)
    found = from_usage("container", Traffic((busy, idle, Hour(7200.0, 50))), Wanted())
    assert found is not None and not found.measured and found.pattern == "container"
    assert found.memory_bytes == 60 * MIB and found.background_cores == pytest.approx(0.01)
    assert found.cpu_seconds_per_request == pytest.approx(0.004)
    assert found.requests_per_second == pytest.approx(250)
    assert found.seconds_per_request == pytest.approx(0.02)
    gone = Hour(10800.0, 0, cpu_seconds=0.0, memory_bytes=0.0, instances=0.0)
    assert from_usage("container", Traffic((busy, idle, *[gone] * 9)), Wanted()) == found, "it was not there"


def test_a_member_of_a_group_takes_more_where_it_is_alone() -> None:
    """Of a group of three that takes 160 MiB: 30 of its own each, and 70 that all have once."""
    hour = Hour(0.0, 3600, cpu_seconds=36.0, memory_bytes=160.0 / 3 * MIB, instances=1.0)
    wanted = Wanted(members=3)
    member = from_usage("shared", Traffic((hour,)), wanted)
    assert member is not None
    assert (member.memory_bytes, member.next_memory_bytes) == pytest.approx((100 * MIB, 30 * MIB))
    found = under_all(member)
    assert found["process"].memory_bytes == found["process"].next_memory_bytes == pytest.approx(100 * MIB)
    here, alone = [
        Reckoning(Traffic((hour,)), found[pattern], wanted, PRICES).on_own_hardware().parts["memory"]
        for pattern in ("shared", "process")
    ]
    assert alone / here == pytest.approx(100 / (160 / 3))


def test_of_a_job_all_is_for_its_runs() -> None:
    """Two hours at half a core; what it takes is its runs', though none ended in the first hour."""
    first = Hour(0.0, 0, cpu_seconds=1800, memory_bytes=90.0 * MIB, instances=1.0)
    second = Hour(3600.0, 1, cpu_seconds=1800, memory_bytes=90.0 * MIB, response_seconds=7200.0, instances=1.0)
    found = from_usage("process", Traffic((first, second)), Wanted(job=True))
    assert found is not None and found.background_cores == 0
    assert (found.cpu_seconds_per_request, found.seconds_per_request) == (3600, 7200)


@pytest.mark.parametrize("hours", [(), (Hour(0.0, 5),), (Hour(0.0, 5, memory_bytes=1.0),), (Hour(0.0, 5, 1.0, 0.0),)])
def test_usage_that_tells_too_little(hours: tuple[Hour, ...]) -> None:
    assert from_usage("process", Traffic(hours), Wanted()) is None


def test_consumers_have_no_cpu_per_request() -> None:
    found = from_usage("process", Traffic((Hour(0.0, 0, cpu_seconds=1800, memory_bytes=9.0),)), Wanted())
    assert found is not None
    assert (found.background_cores, found.cpu_seconds_per_request, found.requests_per_second) == (0.5, 0.0, inf)


@pytest.mark.parametrize("known", PATTERNS)
def test_under_all(known: Pattern) -> None:
    found = under_all(footprint(known))
    assert set(found) == set(PATTERNS) and found[known] == footprint(known)
    assert not any(each.measured for pattern, each in found.items() if pattern != known)
    assert found["vm"].memory_bytes > found["container"].memory_bytes > found["process"].memory_bytes > 0
    assert found["shared"].next_memory_bytes < found["process"].next_memory_bytes or known == "process"
    assert found["function"].seconds_per_request >= found["process"].seconds_per_request
