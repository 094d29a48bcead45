"""What all places that rent out sizes have in common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import inf, isinf

from fourfold.cost.demand import SECONDS, Demand, Instances
from fourfold.cost.model import Footprint, Wanted
from fourfold.errors import UserError

LEAST_SECONDS = 60.0
"""Of a machine or task that are billed: https://aws.amazon.com/ec2/pricing/on-demand/ (Linux),
https://aws.amazon.com/fargate/pricing/."""


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


def asked(gib: float, cores: float, unit: str = "GiB") -> str:
    """`582 GiB and 4 vCPUs`, for people."""
    memory = f"{gib:,.0f} {unit}" if gib >= 10 else f"{gib:.2g} {unit}"
    return f"{memory} and {cores:.3g} vCPUs" if cores else memory


def memory_of(footprint: Footprint, wanted: Wanted, headroom: float) -> float:
    """Bytes that have to be rented for an instance: its limit, else what was measured and some more."""
    return float(wanted.memory_limit) if wanted.memory_limit else footprint.memory_bytes * (1 + headroom)


def rented(demand: Demand, footprint: Footprint, wanted: Wanted, cores: float, utilization: float) -> Instances:
    """Machines or tasks with so many cores; of a job, one for each run, which is billed by the second."""
    if wanted.job:
        return demand.runs(max(LEAST_SECONDS, footprint.start_seconds + run_seconds(footprint, cores)))
    return demand.instances(most_requests(footprint, wanted, cores) * utilization, wanted.least(footprint.pattern))


def run_seconds(footprint: Footprint, cores: float) -> float:
    """Of a request or run, where it has so many cores: with fewer than it uses, what it computes takes longer."""
    cpu, seconds = footprint.cpu_seconds_per_request, footprint.seconds_per_request
    used = max(1.0, cpu / seconds if seconds else 1.0)
    return max(0.0, seconds - cpu) + cpu / min(used, cores)


def most_requests(footprint: Footprint, wanted: Wanted, cores: float) -> float:
    """Requests per second that an instance answers at most where it has so many cores."""
    cores = max(1e-9, min(cores, wanted.cpu_limit or inf) - footprint.background_cores)
    by_cpu = cores / footprint.cpu_seconds_per_request if footprint.cpu_seconds_per_request else inf
    return min(by_cpu, footprint.requests_per_second)


def used(demand: Demand, footprint: Footprint, wanted: Wanted, cores: float, instances: Instances) -> float | None:
    """Share of what all instances could answer that they are asked. None: there is nothing to tell it by."""
    able = most_requests(footprint, wanted, cores)
    if wanted.job or isinf(able) or not instances.hours:
        return None
    return demand.requests_per_month / (instances.hours * SECONDS * able)


def cheapest(bills: Iterable[Bill]) -> Bill:
    """The first of the cheapest ones."""
    return min(bills, key=lambda bill: bill.dollars)
