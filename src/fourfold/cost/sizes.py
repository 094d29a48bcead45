"""What all places that rent out sizes have in common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import inf, isinf

from fourfold.cost.demand import SECONDS, Demand, Instances
from fourfold.cost.model import Footprint, Wanted
from fourfold.errors import UserError


class NoSize(UserError):
    """Nothing that can be rented at a place has what an instance needs."""


@dataclass(frozen=True)
class Bill:
    """Of a month, at one size."""

    size: str | None
    parts: Mapping[str, float]
    """What for -> dollars."""
    instances: Instances
    capacity_used: float | None = None
    memory_needed: float | None = None

    @property
    def dollars(self) -> float:
        return sum(self.parts.values())


def memory_of(footprint: Footprint, wanted: Wanted, headroom: float) -> float:
    """Bytes that have to be rented for an instance: its limit, else what was measured and some more."""
    return float(wanted.memory_limit) if wanted.memory_limit else footprint.memory_bytes * (1 + headroom)


def most_requests(footprint: Footprint, wanted: Wanted, cores: float) -> float:
    """Requests per second that an instance answers at most where it has so many cores."""
    cores = max(1e-9, min(cores, wanted.cpu_limit or inf) - footprint.background_cores)
    by_cpu = cores / footprint.cpu_seconds_per_request if footprint.cpu_seconds_per_request else inf
    return min(by_cpu, footprint.requests_per_second)


def used(demand: Demand, instances: Instances, most: float) -> float | None:
    """Share of what all instances could answer that they are asked. None: there is nothing to tell it by."""
    able = instances.hours * SECONDS * most
    return None if isinf(able) or not able else demand.requests_per_month / able


def cheapest(bills: Iterable[Bill]) -> Bill:
    """The first of the cheapest ones."""
    return min(bills, key=lambda bill: bill.dollars)
