"""From traffic, footprint and prices to a month's money, under one pattern."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

from fourfold.cost import ec2, fargate, lambdas, own
from fourfold.cost.demand import Demand, of_traffic
from fourfold.cost.model import HOURS_PER_MONTH, Footprint, Traffic, Wanted
from fourfold.cost.prices import PLACES, Place, Prices
from fourfold.cost.results import Monthly, Part
from fourfold.cost.sizes import Bill

_Reckon: TypeAlias = Callable[[Demand, Footprint, Wanted, Prices], Bill]
_AT: dict[Place, _Reckon] = {"own": own.cost, "ec2": ec2.cost, "fargate": fargate.cost, "lambda": lambdas.cost}


@dataclass(frozen=True)
class Reckoning:
    """All that a pattern's cost depends on."""

    traffic: Traffic
    footprint: Footprint
    wanted: Wanted
    prices: Prices

    @property
    def place(self) -> Place:
        return self.prices.places.of(self.footprint.pattern)

    @cached_property
    def _demand(self) -> Demand:
        return of_traffic(self.traffic)

    def bill(self, requests_per_month: float | None = None) -> Bill:
        """For its traffic; scaled to so many requests a month, when they are given. NoSize."""
        demand = self._demand if requests_per_month is None else self._demand.scaled(requests_per_month)
        return _AT[self.place](demand, self.footprint, self.wanted, self.prices)

    def dollars(self, requests_per_month: float) -> float:
        return self.bill(requests_per_month).dollars


def monthly(traffic: Traffic, footprint: Footprint, wanted: Wanted, prices: Prices) -> Monthly:
    """Raises NoSize (a UserError) where nothing that can be rented has what an instance needs."""
    reckoning = Reckoning(traffic, footprint, wanted, prices)
    bill = reckoning.bill()
    return Monthly(
        pattern=footprint.pattern,
        place=PLACES[reckoning.place],
        size=bill.size,
        dollars=bill.dollars,
        parts=tuple(Part(name=name, dollars=dollars) for name, dollars in bill.parts.items()),
        instances_mean=bill.instances.hours / HOURS_PER_MONTH,
        instances_peak=bill.instances.peak,
        capacity_used=bill.capacity_used,
        memory_needed=bill.memory_needed,
        estimated=not footprint.measured,
        notes=_notes(bill, wanted, footprint),
    )


def _notes(bill: Bill, wanted: Wanted, footprint: Footprint) -> tuple[str, ...]:
    most, peak = wanted.max_instances, bill.instances.peak
    if footprint.pattern == "function":
        background = f"{footprint.background_cores:.2g} of a core now"
        waits = f"what it does while it is asked nothing ({background}) would not be done"
        return (waits,) if footprint.works_unasked else ()
    if most is None or peak <= most:
        return ()
    return (f"its busiest hour needs {peak} instances, and the service file allows {most}",)
