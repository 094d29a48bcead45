"""A share of a host, beside others: the memory that instances take while they are there, and the CPU that they use.

Limits are not reserved. As hosts are never full, more is paid for than instances take: `assumptions.utilization`.
"""

from __future__ import annotations

from math import inf

from fourfold.cost.demand import SECONDS, Demand, Instances
from fourfold.cost.model import GIB, Footprint, Wanted
from fourfold.cost.prices import Prices, Rates
from fourfold.cost.sizes import Bill, NoSize, asked, most_requests, run_seconds


def on_ec2(demand: Demand, footprint: Footprint, wanted: Wanted, prices: Prices) -> Bill:
    """Of the machine that the price list names. NoSize where an instance alone is more than that has."""
    name = prices.ec2.host.type
    kind, gib = prices.ec2.types[name], footprint.memory_bytes / GIB
    cores = max(wanted.cpu_limit or 0, footprint.background_cores)
    if gib > kind.memory_gib or cores > kind.vcpus:
        raise NoSize(f"{name}, which others share, does not have {asked(gib, cores)}: name a larger one as `ec2.host`")
    return _cost(f"share of {name}", kind.vcpus, prices.ec2.rates, demand, footprint, wanted, prices)


def on_own_hardware(demand: Demand, footprint: Footprint, wanted: Wanted, prices: Prices) -> Bill:
    return _cost(None, inf, prices.own_hardware.rates, demand, footprint, wanted, prices)


def _cost(
    size: str | None,
    vcpus: float,
    rates: Rates,
    demand: Demand,
    footprint: Footprint,
    wanted: Wanted,
    prices: Prices,
) -> Bill:
    utilization = prices.assumptions.utilization
    instances = _instances(demand, footprint, wanted, vcpus, utilization)
    first, next_one = _memory(footprint, wanted)
    further = max(0.0, instances.hours - instances.some)
    gib_hours = (instances.some * first + further * next_one) / GIB
    core_hours = demand.requests_per_month * footprint.cpu_seconds_per_request / SECONDS
    core_hours += footprint.background_cores * instances.hours
    parts = {
        "cores": core_hours / utilization * rates.core_hour,
        "memory": gib_hours / utilization * rates.gib_hour,
        "disks": wanted.storage_bytes / GIB * rates.disk_gib_month,
    }
    return Bill(size, parts, instances)


def _instances(demand: Demand, footprint: Footprint, wanted: Wanted, vcpus: float, utilization: float) -> Instances:
    if wanted.job:
        return demand.runs(run_seconds(footprint, vcpus))
    if footprint.pattern != "function":
        return demand.instances(most_requests(footprint, wanted, vcpus) * utilization, wanted.least(footprint.pattern))
    seconds = footprint.seconds_per_request  # a sandbox has one request at a time
    return demand.instances(utilization / seconds if seconds else inf, wanted.provisioned)


def _memory(footprint: Footprint, wanted: Wanted) -> tuple[float, float]:
    """Bytes of the first instance, and of each further one.

    Of a member of a group, one is in each instance of it: with its part of what all its members have once.
    """
    if footprint.pattern != "shared":
        return footprint.memory_bytes, footprint.next_memory_bytes
    once = footprint.memory_bytes - footprint.next_memory_bytes
    part = footprint.next_memory_bytes + once / max(1, wanted.members)
    return part, part
