"""What things cost in a month: the shapes of `cost -o json`. Money in US dollars."""

from __future__ import annotations

from fourfold.cost.comparison import BreakEven, Costs, Pattern
from fourfold.spec.base import Model


class Part(Model):
    """Of a monthly bill."""

    name: str
    """`instances`, `vCPUs`, `cores`, `memory`, `disks`, `surplus CPU`, `requests`, `duration`, `provisioned`."""
    dollars: float


class Monthly(Model):
    pattern: Pattern
    place: str
    """Where in the cloud: `EC2 host`, `EC2`, `Fargate`, `Lambda`."""
    size: str | None = None
    """What one instance rents there: `share of m6i.xlarge`, `t3.small`, `0.25 vCPU, 0.5 GB`, `256 MB`."""
    monthly_cost: float | None = None
    """There. None: nothing that can be rented there has what an instance needs; `notes` say why."""
    parts: tuple[Part, ...] = ()
    """They add up to `monthly_cost`."""
    own_hardware_monthly_cost: float
    """Of the share that it takes of own hardware."""
    own_hardware_parts: tuple[Part, ...]
    instances_mean: float
    instances_peak: int
    """Of a function, sandboxes."""
    capacity_used: float | None = None
    """Share of what the instances paid for could have answered that they were asked: the rest is idle.
    None: billed by use."""
    memory_needed: float | None = None
    """Share of the rented memory that an instance needs: the rest comes with standard sizes."""
    estimated: bool = False
    """Made of a footprint that nobody measured."""
    notes: tuple[str, ...] = ()


class Measured(Model):
    """The comparison that figures are from."""

    made_at: str
    release: int
    noise: str | None = None
    """Why it is not to be trusted."""


class ServiceCost(Model):
    service: str
    now: Pattern | None = None
    """What it runs under; null: nobody said."""
    requests_per_month: float
    hours: int
    """Of traffic that this is made of."""
    release: int | None = None
    """That it runs; null: nobody said."""
    measured: Measured | None = None
    """Null: no comparison says what an instance takes."""
    patterns: tuple[Monthly, ...]
    unavailable: dict[Pattern, str]
    """Patterns without a price -> why."""
    cheapest: Pattern | None = None
    """In the cloud."""
    own_hardware_cheapest: Pattern | None = None
    break_even: tuple[BreakEven, ...]
    """In the cloud."""
    curves: dict[Pattern, Costs]
    """In the cloud; empty unless asked for."""
