"""From traffic, footprint and prices to money."""

from __future__ import annotations

from collections.abc import Mapping

from fourfold.cost.comparison import Pattern
from fourfold.cost.model import Footprint, Traffic, Wanted
from fourfold.cost.prices import Prices
from fourfold.cost.results import Monthly, ServiceCost


def monthly(traffic: Traffic, footprint: Footprint, wanted: Wanted, prices: Prices) -> Monthly:
    """Raises UserError where no size that can be rented fits."""
    raise NotImplementedError


def service_cost(
    service: str,
    now: Pattern | None,
    traffic: Traffic,
    footprints: Mapping[Pattern, Footprint],
    wanted: Wanted,
    prices: Prices,
    *,
    unavailable: Mapping[Pattern, str] | None = None,
    curves: bool = False,
) -> ServiceCost:
    """Under each pattern that has a footprint; `unavailable`: why others cannot be."""
    raise NotImplementedError
