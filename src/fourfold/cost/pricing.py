"""A comparison with its money."""

from __future__ import annotations

from fourfold.cost.comparison import Comparison
from fourfold.cost.model import Traffic, Wanted
from fourfold.cost.prices import Prices


def priced(comparison: Comparison, traffic: Traffic | None, wanted: Wanted, prices: Prices) -> Comparison:
    """With monthly_cost, costs and break_even. Without traffic, at the rate of its own load, day and night."""
    raise NotImplementedError
