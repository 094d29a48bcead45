"""On machines of EC2: standard sizes, a disk each; burstable ones are billed for what they use beyond their baseline.

Sources: https://aws.amazon.com/ec2/pricing/on-demand/ (by the second; T3 in unlimited mode: surplus vCPU-hours where
the use of 24 hours is above the baseline), https://aws.amazon.com/ebs/pricing/ (gp3 by the GB that is provisioned).
"""

from __future__ import annotations

from math import ceil

from fourfold.cost.demand import SECONDS, Demand
from fourfold.cost.model import GIB, HOURS_PER_MONTH, Footprint, Wanted
from fourfold.cost.prices import MachineType, Prices
from fourfold.cost.sizes import Bill, NoSize, asked, cheapest, memory_of, most_requests, rented, used


def cost(demand: Demand, footprint: Footprint, wanted: Wanted, prices: Prices) -> Bill:
    """With the type that is cheapest for all of the demand. NoSize where none has enough."""
    gib = memory_of(footprint, wanted, prices.assumptions.headroom) / GIB
    if footprint.pattern != "vm" or wanted.memory_limit:
        gib += prices.ec2.system_memory_gib  # what was measured of a machine holds its system
    cores = max(wanted.cpu_limit or 0, footprint.background_cores)
    fitting = {name: each for name, each in prices.ec2.types.items() if each.memory_gib >= gib and each.vcpus >= cores}
    if not fitting:
        raise NoSize(f"no type of EC2 in the price list has {asked(gib, cores)}")
    return cheapest(_with(name, fitting[name], gib, demand, footprint, wanted, prices) for name in fitting)


def _with(
    name: str, kind: MachineType, gib: float, demand: Demand, footprint: Footprint, wanted: Wanted, prices: Prices
) -> Bill:
    utilization = prices.assumptions.utilization
    instances = rented(demand, footprint, wanted, kind.vcpus, utilization)
    disk = max(prices.ec2.disk.least_gb, ceil(wanted.storage_bytes / GIB))
    parts = {
        "instances": instances.hours * kind.hour,
        "disks": instances.hours / HOURS_PER_MONTH * disk * prices.ec2.disk.gb_month,
    }
    if kind.baseline < 1:
        covered = kind.vcpus * kind.baseline
        if wanted.job:
            cores = demand.requests_per_month * footprint.cpu_seconds_per_request / SECONDS
            beyond = max(0.0, cores - covered * instances.hours)
        else:
            capacity = most_requests(footprint, wanted, kind.vcpus) * utilization
            beyond = demand.beyond(capacity, wanted.least(footprint.pattern), footprint, covered)
        parts["surplus CPU"] = beyond * prices.ec2.surplus_vcpu_hour
    in_use = used(demand, footprint, wanted, kind.vcpus, instances)
    return Bill(name, parts, instances, in_use, gib / kind.memory_gib)
