from __future__ import annotations

from itertools import permutations

import pytest

from fourfold.cost.functions import Taken, bill, invocation, total
from fourfold.cost.prices import FunctionPrice

MIB = 2**20


def test_as_aws_reckons_it() -> None:
    """The example of its price page: 512 MB, 3 million times, a second each; without the free tier."""
    each = invocation(512 * MIB, 1000, failed=False)
    month = Taken(each.requests * 3_000_000, 0, each.billed_ms * 3_000_000, each.byte_ms * 3_000_000)
    assert month.gb_seconds == 1_500_000
    costs = bill(month, FunctionPrice())
    assert costs.requests == pytest.approx(0.60) and costs.duration == pytest.approx(25.00005)
    assert costs.total == costs.requests + costs.duration


def test_no_order_changes_a_sum() -> None:
    parts = [invocation(128 * MIB, 1, False), invocation(1769 * MIB, 33, True), invocation(10240 * MIB, 900_000, False)]
    assert {total(order) for order in permutations(parts)} == {total(parts)}
    assert (total(parts).requests, total(parts).failed) == (3, 1) and total([]) == Taken()
