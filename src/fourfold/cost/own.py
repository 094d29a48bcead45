"""On hardware of one's own, beside others: the memory that it takes, and the CPU that it uses."""

from __future__ import annotations

from math import inf

from fourfold.cost.demand import SECONDS, Demand
from fourfold.cost.model import GIB, Footprint, Wanted
from fourfold.cost.prices import Prices
from fourfold.cost.sizes import Bill


def cost(demand: Demand, footprint: Footprint, wanted: Wanted, prices: Prices) -> Bill:
    """Limits are not reserved. Of CPU, as much more is paid for as hosts stand idle on average."""
    instances = demand.instances(*_scaling(footprint, wanted, prices.assumptions.utilization))
    further = max(0.0, instances.hours - instances.some)
    gib_hours = (instances.some * _first(footprint, wanted) + further * footprint.next_memory_bytes) / GIB
    core_hours = demand.requests_per_month * footprint.cpu_seconds_per_request / SECONDS
    core_hours += footprint.background_cores * instances.hours
    own = prices.own_hardware
    parts = {
        "cores": core_hours / prices.assumptions.utilization * own.core_hour,
        "memory": gib_hours * own.gib_hour,
        "disks": wanted.storage_bytes / GIB * own.disk_gib_month,
    }
    return Bill(None, parts, instances)


def _first(footprint: Footprint, wanted: Wanted) -> float:
    """Bytes of the first instance: of a member of a group, with its part of what all members have once."""
    once = footprint.memory_bytes - footprint.next_memory_bytes
    members = wanted.members if footprint.pattern == "shared" else 1
    return footprint.next_memory_bytes + once / max(1, members)


def _scaling(footprint: Footprint, wanted: Wanted, utilization: float) -> tuple[float, int]:
    """Requests per second that an instance is given, and how many there are at least."""
    if footprint.pattern != "function":
        return footprint.requests_per_second * utilization, wanted.min_instances
    seconds = footprint.seconds_per_request  # a sandbox has one request at a time
    return utilization / seconds if seconds else inf, wanted.provisioned
