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
from fourfold.cost.wanted import of_file
from fourfold.spec.app import App

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
    app: App, name: str, now: Pattern, traffic: Traffic, comparison: Comparison | None, prices: Prices
) -> ServiceCost | None:
    """None: neither a comparison nor the hours tell what it takes."""
    wanted = of_file(app.services, app.groups)[name]
    found = of_all(comparison) if comparison is not None else {}
    if not found:
        taken = from_usage(now, traffic, wanted)
        found = under_all(taken) if taken is not None else {}
    return service_cost(name, now, traffic, found, wanted, prices) if found else None
