"""As functions of AWS Lambda: billed by the request and the millisecond, and for sandboxes that are always there.

Sources: https://aws.amazon.com/lambda/pricing/ (without the free tier, at the first tier's price), CPU by memory:
https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html.
"""

from __future__ import annotations

from math import ceil

from fourfold.cost.demand import SECONDS, Demand, Instances
from fourfold.cost.model import HOURS_PER_MONTH, Footprint, Wanted
from fourfold.cost.prices import LambdaPrices, Prices
from fourfold.cost.sizes import Bill, NoSize, memory_of, run_seconds

MIB = 2**20
MB_PER_GB = 1024


def cost(demand: Demand, footprint: Footprint, wanted: Wanted, prices: Prices) -> Bill:
    """NoSize where no function may have so much memory."""
    rates = prices.lambda_
    need = memory_of(footprint, wanted, prices.assumptions.headroom) / MIB
    megabytes = max(rates.least_mb, ceil(need))
    if megabytes > rates.most_mb:
        raise NoSize(f"a function of Lambda has at most {rates.most_mb:,.0f} MB, and this needs {megabytes:,.0f}")
    seconds = billed_seconds(footprint, megabytes, rates)
    requests, gb = demand.requests_per_month, megabytes / MB_PER_GB
    warm = demand.below(wanted.provisioned / seconds) if wanted.provisioned else 0.0
    parts = {
        "requests": requests * rates.request,
        "duration": (requests - warm) * seconds * gb * rates.gb_second,
    }
    if wanted.provisioned:
        there = wanted.provisioned * HOURS_PER_MONTH * SECONDS * gb
        parts["provisioned"] = there * rates.provisioned_gb_second
        parts["duration"] += warm * seconds * gb * rates.provisioned_duration_gb_second
    beyond = (requests - warm) * seconds / SECONDS
    peak = max(wanted.provisioned, ceil(demand.peak * seconds))
    instances = Instances(wanted.provisioned * HOURS_PER_MONTH + beyond, requests * seconds / SECONDS, peak)
    return Bill(f"{megabytes:g} MB", parts, instances, None, min(1.0, need / megabytes))


def billed_seconds(footprint: Footprint, megabytes: float, rates: LambdaPrices) -> float:
    """Of a request, in whole milliseconds: with less than one vCPU's memory, what it computes takes longer."""
    return max(1, ceil(run_seconds(footprint, megabytes / rates.mb_per_vcpu) * 1000 - 1e-6)) / 1000
