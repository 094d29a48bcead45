"""As tasks of Fargate: a few combinations of vCPU and memory, billed as long as they run, whatever they do.

Sources: https://aws.amazon.com/fargate/pricing/ (a GB has 1024^3 bytes), the combinations:
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-cpu-memory-error.html.
"""

from __future__ import annotations

from fourfold.cost.demand import Demand
from fourfold.cost.model import GIB, Footprint, Wanted
from fourfold.cost.prices import Prices
from fourfold.cost.sizes import Bill, NoSize, asked, cheapest, memory_of, rented, used


def cost(demand: Demand, footprint: Footprint, wanted: Wanted, prices: Prices) -> Bill:
    """With the combination that is cheapest for all of the demand. NoSize where none has enough."""
    gib = memory_of(footprint, wanted, prices.assumptions.headroom) / GIB
    cores = max(wanted.cpu_limit or 0, footprint.background_cores)
    fitting = [
        (size.vcpus, memory)
        for size in prices.fargate.sizes
        if size.vcpus >= cores and (memory := size.least_memory(gib)) is not None
    ]
    if not fitting:
        raise NoSize(f"no task of Fargate in the price list has {asked(gib, cores, 'GB')}")
    return cheapest(_with(vcpus, memory, gib, demand, footprint, wanted, prices) for vcpus, memory in fitting)


def _with(
    vcpus: float, memory: float, gib: float, demand: Demand, footprint: Footprint, wanted: Wanted, prices: Prices
) -> Bill:
    instances = rented(demand, footprint, wanted, vcpus, prices.assumptions.utilization)
    parts = {
        "vCPUs": instances.hours * vcpus * prices.fargate.vcpu_hour,
        "memory": instances.hours * memory * prices.fargate.gb_hour,
    }
    if (disk := wanted.storage_bytes / GIB - prices.fargate.disk_included_gb) > 0:
        parts["disks"] = instances.hours * disk * prices.fargate.disk_gb_hour
    in_use = used(demand, footprint, wanted, vcpus, instances)
    return Bill(f"{vcpus:g} vCPU, {memory:g} GB", parts, instances, in_use, gib / memory)
