"""The price file: what comes with Fourfold, what is laid over it, and what is wrong with one."""

from __future__ import annotations

from itertools import pairwise

import pytest

from fourfold.control.costing.pricefile import NAME, own_text
from fourfold.cost.functions import bill, invocation
from fourfold.cost.prices import FunctionPrice, Prices, parse_prices
from fourfold.errors import SpecError
from tests.cost.examples import GIB, PRICES


def over(text: str) -> Prices:
    return parse_prices([(NAME, own_text()), ("my.yaml", text)])


def test_every_price_is_dated_and_says_where_it_is_from() -> None:
    assert set(PRICES.as_of()) == set(PRICES.sources()) == {"EC2 host", "EC2", "Fargate", "Lambda", "own hardware"}
    assert PRICES.sources()["EC2"] == "https://aws.amazon.com/ec2/pricing/on-demand/"


def test_sizes_of_a_family_double_with_their_price() -> None:
    """A figure that was mistyped would not."""
    for family in ("t3", "c6i", "m6i", "r6i"):
        types = [each for name, each in PRICES.ec2.types.items() if name.startswith(f"{family}.")]
        for small, large in pairwise(types):
            assert large.hour == pytest.approx(2 * small.hour) and large.memory_gib == 2 * small.memory_gib


def test_a_file_needs_to_hold_only_what_differs() -> None:
    own = over("own_hardware: {as_of: 2026-11-01, source: our invoice, core_hour: 0.01}\nplaces: {vm: host}")
    assert own.own_hardware.core_hour == 0.01 and own.own_hardware.gib_hour == PRICES.own_hardware.gib_hour
    as_of = {"EC2 host": "2026-06", "Fargate": "2026-06", "Lambda": "2026-06", "own hardware": "2026-11-01"}
    assert own.as_of() == as_of
    fewer = over("ec2: {types: {t3.nano: null, my.type: {vcpus: 1, memory_gib: 1, hour: 0.001}}}")
    assert "t3.nano" not in fewer.ec2.types and fewer.ec2.types["my.type"].baseline == 1
    (size,) = over("fargate: {sizes: [{vcpus: 1, memory_gb: {from: 2, to: 3, step: 0.5}}]}").fargate.sizes
    assert size.memory_gb == (2.0, 2.5, 3.0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "my.yaml:1:1: is empty (it holds prices"),
        ("- 1", "is not a map"),
        ("places: {vm: azure}", "my.yaml:1:14: places.vm: expected 'host', 'ec2', 'fargate' or 'lambda', got 'azure'"),
        ("places: {vm: own}", "expected 'host', 'ec2', 'fargate' or 'lambda', got 'own'"),
        ("places: {vm: lambda}", "vm cannot be priced as lambda: that runs functions only"),
        ("places: {function: fargate}", "function cannot be priced as fargate: choose lambda or host"),
        ("own_hardwar: {}", "own_hardwar: unknown key: expected one of places, assumptions, own_hardware"),
        ("own_hardware: {core_hours: 1}", "did you mean `core_hour`?"),
        ("own_hardware: {core_hour: null}", "own_hardware: `core_hour` is missing"),
        ("own_hardware: {core_hour: -1}", "own_hardware.core_hour: expected a number at least 0, got -1"),
        ("own_hardware: {core_hour: .inf}", "own_hardware.core_hour: expected a number, got inf"),
        ("own_hardware: {core_hour: true}", "own_hardware.core_hour: expected a number, got true"),
        ("own_hardware: {as_of: yesterday}", "own_hardware.as_of: expected a month, such as 2026-06"),
        ("own_hardware: {source: ''}", "own_hardware.source: expected text"),
        ("lambda: 3", "lambda: expected a map, got 3"),
        ("lambda: {gb_seconds: 3}", "lambda.gb_seconds: unknown key: expected one of as_of, source, request"),
        ("ec2: {types: {t3.nano: {vcpus: 0}}}", "ec2.types.t3.nano.vcpus: expected a number more than 0, got 0"),
        ("ec2: {types: {x: {memory: 1}}}", "did you mean `memory_gib`?"),
        ("ec2: {types: {m6i.xlarge: null}}", "host.type is m6i.xlarge, which is not in `types`: add it there"),
        ("ec2: {host: {cpu_part: 2}}", "ec2.host.cpu_part: expected a number at most 1, got 2"),
        ("ec2: {types: 3}", "ec2.types: expected a map, got 3"),
        ("assumptions: {utilization: 1.5}", "assumptions.utilization: expected a number at most 1, got 1.5"),
        ("fargate: {sizes: 3}", "fargate.sizes: expected a list, got 3"),
        ("fargate: {sizes: []}", "fargate.sizes: expected at least one entry"),
        ("fargate: {sizes: [{vcpus: 1, memory_gb: {from: 3, to: 1, step: 1}}]}", "rising, at most a thousand"),
        ("fargate: {sizes: [{vcpus: 1, memory_gb: {from: 3}}]}", "expected a list of sizes or {from: 2"),
        ("fargate: {sizes: [{vcpus: 1, memory_gb: [x]}]}", "fargate.sizes[0].memory_gb[0]: expected a number, got 'x'"),
    ],
)  # fmt: skip
def test_what_is_wrong_and_where(text: str, said: str) -> None:
    with pytest.raises(SpecError) as refused:
        over(text)
    assert said in str(refused.value)


def test_a_wrong_entry_of_a_list_is_no_empty_list() -> None:
    with pytest.raises(SpecError) as refused:
        over("fargate: {sizes: [{vcpus: 0, memory_gb: [1]}]}")
    assert str(refused.value) == "my.yaml:1:27: fargate.sizes[0].vcpus: expected a number more than 0, got 0"


def test_functions_that_run_here_are_billed_at_the_same_prices() -> None:
    assert PRICES.function_price == FunctionPrice()
    price = over("lambda: {gb_second: 1, request: 2}").function_price
    assert bill(invocation(GIB, 1000, failed=False), price).total == 3
