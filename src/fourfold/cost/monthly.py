"""From traffic, footprint and prices to a month's money, under one pattern: in the cloud, and on own hardware."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias

from fourfold.cost import ec2, fargate, lambdas, share
from fourfold.cost.demand import Demand, of_traffic
from fourfold.cost.model import HOURS_PER_MONTH, Footprint, Traffic, Wanted
from fourfold.cost.prices import PLACES, Place, Prices
from fourfold.cost.results import Monthly, Part
from fourfold.cost.sizes import Bill, NoSize

_Reckon: TypeAlias = Callable[[Demand, Footprint, Wanted, Prices], Bill]
_AT: dict[Place, _Reckon] = {"host": share.on_ec2, "ec2": ec2.cost, "fargate": fargate.cost, "lambda": lambdas.cost}


@dataclass(frozen=True)
class Reckoning:
    """All that a pattern's cost depends on."""

    traffic: Traffic
    footprint: Footprint
    wanted: Wanted
    prices: Prices

    @property
    def place(self) -> Place:
        """In the cloud."""
        return self.prices.places.of(self.footprint.pattern)

    @cached_property
    def _demand(self) -> Demand:
        return of_traffic(self.traffic)

    def bill(self, requests_per_month: float | None = None) -> Bill:
        """In the cloud, for its traffic; scaled to so many requests a month, when they are given. NoSize."""
        demand = self._demand if requests_per_month is None else self._demand.scaled(requests_per_month)
        if self.footprint.pattern == "shared" and self.place != "host":
            return self._part_of_group(demand)
        return _AT[self.place](demand, self.footprint, self.wanted, self.prices)

    def _part_of_group(self, demand: Demand) -> Bill:
        """Its part of what is rented for all members of its group together, as if they were alike."""
        one, wanted, members = self.footprint, self.wanted, self.wanted.members
        group = replace(
            one,
            memory_bytes=one.memory_bytes + (members - 1) * one.next_memory_bytes,
            background_cores=one.background_cores * members,
        )
        limits = replace(
            wanted,
            memory_limit=wanted.memory_limit and wanted.memory_limit * members,
            cpu_limit=wanted.cpu_limit and wanted.cpu_limit * members,
        )
        bill = _AT[self.place](demand.scaled(demand.requests_per_month * members), group, limits, self.prices)
        return replace(bill, parts={name: dollars / members for name, dollars in bill.parts.items()})

    @cached_property
    def rentable(self) -> Bill | NoSize:
        """Its bill in the cloud, or why there is none."""
        try:
            return self.bill()
        except NoSize as none:
            return none

    def dollars(self, requests_per_month: float) -> float:
        return self.bill(requests_per_month).dollars

    def on_own_hardware(self) -> Bill:
        return share.on_own_hardware(self._demand, self.footprint, self.wanted, self.prices)


def monthly(reckoning: Reckoning) -> Monthly:
    own, cloud = reckoning.on_own_hardware(), reckoning.rentable
    bill = cloud if isinstance(cloud, Bill) else None
    instances = (bill or own).instances
    none = (cloud.what,) if isinstance(cloud, NoSize) else ()
    return Monthly(
        pattern=reckoning.footprint.pattern,
        place=PLACES[reckoning.place],
        size=bill and bill.size,
        monthly_cost=bill and bill.dollars,
        parts=_parts(bill.parts if bill else {}),
        own_hardware_monthly_cost=own.dollars,
        own_hardware_parts=_parts(own.parts),
        instances_mean=instances.hours / HOURS_PER_MONTH,
        instances_peak=instances.peak,
        capacity_used=bill and bill.capacity_used,
        memory_needed=bill and bill.memory_needed,
        estimated=not reckoning.footprint.measured,
        notes=(*none, *_notes(instances.peak, reckoning.wanted, reckoning.footprint)),
    )


def _parts(parts: Mapping[str, float]) -> tuple[Part, ...]:
    return tuple(Part(name=name, dollars=dollars) for name, dollars in parts.items())


def _notes(peak: int, wanted: Wanted, footprint: Footprint) -> Iterator[str]:
    of_function = footprint.pattern == "function"
    if of_function and footprint.works_unasked:
        background = f"{footprint.background_cores:.2g} of a core now"
        yield f"what it does while it is asked nothing ({background}) would not be done"
    what, most = ("sandboxes", wanted.max_sandboxes) if of_function else ("instances", wanted.max_instances)
    if most is not None and peak > most and footprint.pattern != "shared":  # there are as many as its group has
        yield f"its busiest hour needs {peak} {what}, and the service file allows {most}"
