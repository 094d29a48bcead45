"""A service's month under all patterns, and a comparison with its money."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fourfold.cost.comparison import PATTERNS, Comparison, Pattern, PatternResult
from fourfold.cost.estimate import from_usage, under_all
from fourfold.cost.model import Hour, Traffic, Wanted
from fourfold.cost.monthly import Reckoning, monthly
from fourfold.cost.results import ServiceCost
from fourfold.cost.service import NO_COST, priced, service_cost
from tests.cost.examples import GIB, MIB, PRICES, footprint, monthly_requests, traffic
from tests.cost.test_estimate import comparison, result

RARE = monthly_requests(1000.0)


def test_all_patterns() -> None:
    cost = service_cost("web", "container", RARE, under_all(footprint("container")), Wanted(min_instances=2), PRICES)
    assert [each.pattern for each in cost.patterns] == list(PATTERNS) and not cost.unavailable and not cost.curves
    assert (
        cost.cheapest == cost.own_hardware_cheapest == "function"
        and cost.requests_per_month == pytest.approx(1000)
        and cost.hours == 24
    )
    by_pattern = {each.pattern: each for each in cost.patterns}
    assert [by_pattern[each].estimated for each in ("container", "vm")] == [False, True]
    assert by_pattern["container"].instances_peak == 2 and by_pattern["container"].size == "0.25 vCPU, 0.5 GB"
    for each in cost.patterns:
        assert sum(part.dollars for part in each.parts) == pytest.approx(each.monthly_cost)
        own = sum(part.dollars for part in each.own_hardware_parts)
        assert own == pytest.approx(each.own_hardware_monthly_cost)
    assert [each.place for each in cost.patterns] == ["EC2 host", "EC2 host", "Fargate", "EC2", "Lambda"]
    assert by_pattern["vm"].own_hardware_monthly_cost > by_pattern["process"].own_hardware_monthly_cost
    assert ("function", "container") in [each.between for each in cost.break_even]
    assert ServiceCost.model_validate_json(cost.model_dump_json()) == cost


def test_reasons_stand_where_there_is_no_price() -> None:
    cost = service_cost(
        "web", "process", RARE, under_all(footprint("process")), Wanted(memory_limit=50 * GIB), PRICES,
        unavailable={"shared": "no group"}, curves=True,
    )  # fmt: skip
    assert cost.unavailable["shared"] == "no group"
    function = cost.patterns[-1]
    assert function.notes == ("a function of Lambda has at most 10,240 MB, and this needs 51,200",)
    assert (function.monthly_cost, function.parts, function.size) == (None, (), None)
    assert function.own_hardware_monthly_cost > 0 and cost.cheapest == "process"
    assert set(cost.curves) == {"process", "container", "vm"}
    nothing = service_cost("job", None, Traffic(()), {}, Wanted(), PRICES)
    assert (nothing.patterns, nothing.cheapest, nothing.hours) == ((), None, 0)


def test_what_is_never_asked_is_no_function() -> None:
    consumer = footprint("process", background_cores=0.2)
    cost = service_cost("worker", "process", traffic(0, 0), under_all(consumer), Wanted(), PRICES)
    assert "it works without being asked" in cost.unavailable["function"]
    young = service_cost("web", "process", traffic(0), under_all(consumer), Wanted(), PRICES)
    assert "function" not in young.unavailable, "its start is in its first hour"
    asked_too = service_cost("web", "process", traffic(0, 5), under_all(consumer), Wanted(), PRICES)
    assert "function" not in asked_too.unavailable
    idle = service_cost("web", "process", traffic(0, 0), under_all(footprint("process")), Wanted(), PRICES)
    assert idle.break_even, "what requests take was measured"
    unknown = {pattern: replace(each, measured=False) for pattern, each in under_all(footprint("process")).items()}
    unasked = service_cost("web", "process", traffic(0, 0), unknown, Wanted(), PRICES, curves=True)
    assert unasked.patterns and not unasked.break_even and not unasked.curves
    assert idle.cheapest == "function" and idle.patterns[-1].monthly_cost == 0, "what nobody uses costs nothing as one"
    asked = monthly(Reckoning(RARE, under_all(consumer)["function"], Wanted(), PRICES))
    assert asked.notes == ("what it does while it is asked nothing (0.2 of a core now) would not be done",)


def test_more_instances_than_the_file_allows_are_said() -> None:
    busy = traffic(3600 * 1000)
    found = monthly(Reckoning(busy, footprint("container"), Wanted(max_instances=3), PRICES))
    assert found.instances_peak > 3
    assert found.notes == (f"its busiest hour needs {found.instances_peak} instances, and the service file allows 3",)
    assert not monthly(Reckoning(busy, footprint("shared"), Wanted(max_instances=3), PRICES)).notes, "as its group has"
    calls = monthly(Reckoning(busy, footprint("function"), Wanted(max_instances=1, max_sandboxes=10), PRICES))
    assert calls.notes == (f"its busiest hour needs {calls.instances_peak} sandboxes, and the service file allows 10",)
    assert not monthly(Reckoning(RARE, footprint("function"), Wanted(max_sandboxes=10), PRICES)).notes


def test_members_of_a_group_have_their_part_of_what_they_share() -> None:
    member = footprint("shared", memory_bytes=100.0 * MIB, next_memory_bytes=20.0 * MIB, cpu_seconds_per_request=0.0)
    alone, one_of_four, in_two_hosts = [
        Reckoning(RARE, member, wanted, PRICES).bill().dollars
        for wanted in (Wanted(members=1), Wanted(members=4), Wanted(members=4, hosts=2))
    ]
    assert one_of_four / alone == pytest.approx(40 / 100)
    assert in_two_hosts == pytest.approx(2 * one_of_four), "what members have once is in each host"


def test_members_of_a_group_have_their_part_of_a_machine_that_is_rented_for_it() -> None:
    """Four of them: 700 MiB once and 300 each are 1,900, and a quarter more; a t3.medium and its disk for all four."""
    places = PRICES.places.model_copy(update={"shared": "ec2"})
    prices = PRICES.model_copy(update={"places": places})
    member = footprint("shared", memory_bytes=1000.0 * MIB, next_memory_bytes=300.0 * MIB)
    found = monthly(Reckoning(RARE, member, Wanted(members=4), prices))
    assert (found.size, found.instances_peak) == ("t3.medium", 1)
    assert found.monthly_cost == pytest.approx((730 * 0.0416 + 8 * 0.08) / 4)
    assert found.memory_needed == pytest.approx((1900 * 1.25 / 1024 + 0.15) / 4)
    in_two_hosts = monthly(Reckoning(RARE, member, Wanted(members=4, hosts=2), prices))
    assert in_two_hosts.monthly_cost == pytest.approx(2 * (found.monthly_cost or 0))
    busy = monthly(Reckoning(traffic(3600 * 250), member, Wanted(members=4), prices))
    assert busy.capacity_used == pytest.approx(4 * 250 / 200 / busy.instances_mean), "that of all of them"


_AMOUNT = st.floats(0, 1e12)
_REQUESTS = _AMOUNT.map(lambda number: round(number, 6))
_HOUR = st.builds(Hour, st.just(0.0), _REQUESTS, _AMOUNT, _AMOUNT, _AMOUNT, st.floats(0, 1e4))
_WANTED = st.builds(
    Wanted,
    min_instances=st.integers(0, 100),
    memory_limit=st.none() | st.integers(1, 2**45),
    cpu_limit=st.none() | st.floats(0.01, 1024),
    storage_bytes=st.integers(0, 2**50),
    provisioned=st.integers(0, 1000),
    job=st.booleans(),
)


@example([Hour(0.0, 0.0, 7e9, 0.0, 0.0, 5e-300), Hour(0.0, 1.0, 0.0, 1.0, 0.0, 0.0)], Wanted(), "process")
@settings(max_examples=30, deadline=None)
@given(st.lists(_HOUR, max_size=30), _WANTED, st.sampled_from(PATTERNS))
def test_whatever_is_exported_every_pattern_has_a_price_or_a_reason(
    hours: list[Hour], wanted: Wanted, pattern: Pattern
) -> None:
    found = Traffic(tuple(hours))
    if (known := from_usage(pattern, found, wanted)) is not None:
        cost = service_cost("web", pattern, found, under_all(known), wanted, PRICES)
        assert {each.pattern for each in cost.patterns} | set(cost.unavailable) == set(PATTERNS)
        for each in cost.patterns:
            assert each.instances_peak >= 0 and 0 <= each.own_hardware_monthly_cost < inf
            assert each.notes if each.monthly_cost is None else 0 <= each.monthly_cost < inf


def _comparison() -> Comparison:
    missing = PatternResult(pattern="shared", available=False, reason="no group")
    large = result("function", loaded_memory_bytes=20 * GIB, next_instance_memory_bytes=20 * GIB)
    slow = result("vm", notes=("virtual machines are emulated here",))
    return comparison(result("process"), missing, result("container"), slow, large, accelerator="tcg")


def test_a_comparison_with_its_money() -> None:
    found = priced(_comparison(), None, Wanted(), PRICES)
    process, shared, container, vm, function = found.patterns
    assert shared.monthly_cost is None and shared.costs is None and shared.notes == ()
    assert container.monthly_cost == pytest.approx(730 * (0.25 * 0.04048 + 0.5 * 0.004445))
    assert container.costs is not None and container.costs.place == "Fargate" and not container.notes
    assert process.monthly_cost and process.costs and process.costs.points[0][0] == 1000
    assert process.costs.place == "EC2 host" and process.own_hardware_monthly_cost is not None
    assert process.own_hardware_monthly_cost < process.monthly_cost
    assert vm.notes[0] == "virtual machines are emulated here" and "estimated" in vm.notes[1]
    assert function.monthly_cost is None and function.notes[0].startswith(NO_COST) and function.costs is None
    assert function.own_hardware_monthly_cost, "what cannot be rented can be owned"
    assert found.requests_per_month == 20 * 730 * 3600 and container.costs.as_of == PRICES.fargate.as_of
    assert priced(found, None, Wanted(), PRICES) == found, "again changes nothing"
    assert Comparison.model_validate_json(found.model_dump_json()) == found


def test_its_money_is_that_of_the_traffic_that_it_has() -> None:
    made = comparison(result("process"), result("function"))
    by_load = priced(made, None, Wanted(), PRICES).patterns[1].monthly_cost
    per_hour = Traffic((Hour(0.0, 20 * 3600.0),))
    assert priced(made, per_hour, Wanted(), PRICES).patterns[1].monthly_cost == pytest.approx(by_load)
    assert priced(made, Traffic((Hour(0.0, 3600.0),)), Wanted(), PRICES).patterns[1].monthly_cost == pytest.approx(
        (by_load or 0) / 20
    )
    assert priced(made, None, Wanted(), PRICES).break_even[0].between == ("function", "process")
