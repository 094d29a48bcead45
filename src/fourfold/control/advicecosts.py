"""What a service costs under each pattern, as advice wants it, in the cloud: from recorded or from exported hours."""

from __future__ import annotations

from collections.abc import Mapping

from fourfold.cost.advice.case import Price
from fourfold.cost.comparison import BreakEven, Comparison, Pattern
from fourfold.cost.estimate import from_usage, of_all, under_all
from fourfold.cost.model import Traffic
from fourfold.cost.prices import Prices
from fourfold.cost.results import ServiceCost
from fourfold.cost.service import service_cost
from fourfold.cost.wanted import wanted
from fourfold.spec.model import Service

Costs = tuple[Mapping[Pattern, Price], tuple[BreakEven, ...]]
NONE: Costs = ({}, ())


def costs_of(known: ServiceCost | None) -> Costs:
    if known is None:
        return NONE
    prices = {
        each.pattern: Price(each.monthly_cost, each.place, each.estimated)
        for each in known.patterns
        if each.monthly_cost is not None
    }
    return prices, known.break_even


def of_hours(
    name: str, spec: Service, now: Pattern, traffic: Traffic, comparison: Comparison | None, prices: Prices
) -> ServiceCost | None:
    """None: neither a comparison nor the hours tell what it takes."""
    found = of_all(comparison) if comparison is not None else {}
    if not found:
        taken = from_usage(now, traffic)
        found = under_all(taken) if taken is not None else {}
    return service_cost(name, now, traffic, found, wanted(spec), prices) if found else None
