"""Footprints and traffic that tests of money begin with, and the price file that comes with Fourfold."""

from __future__ import annotations

from typing import Any

from fourfold.control.costing.pricefile import read_prices
from fourfold.cost.comparison import Pattern
from fourfold.cost.model import HOURS_PER_MONTH, Footprint, Hour, Traffic

MIB, GIB = 2**20, 2**30
PRICES = read_prices(None)


def footprint(pattern: Pattern, **given: Any) -> Footprint:
    usual: dict[str, Any] = {
        "memory_bytes": 60.0 * MIB,
        "next_memory_bytes": 50.0 * MIB,
        "cpu_seconds_per_request": 0.004,
        "seconds_per_request": 0.006,
        "requests_per_second": 200.0,
    }
    return Footprint(pattern, **{**usual, **given})


def traffic(*requests_per_hour: float) -> Traffic:
    return Traffic(tuple(Hour(3600.0 * at, each) for at, each in enumerate(requests_per_hour)))


def monthly_requests(requests: float) -> Traffic:
    """Evenly all day."""
    return traffic(*[requests / HOURS_PER_MONTH] * 24)
