"""How many instances traffic needs hour by hour, and how much they work."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil
from typing import NamedTuple

from fourfold.cost.model import HOURS_PER_MONTH, Footprint, Traffic

SECONDS = 3600.0
HOURS_PER_DAY = 24
_ROUNDING = 1e-9
"""An instance more is not rented for what adding numbers loses."""


class Instances(NamedTuple):
    """Of a month."""

    hours: float
    """Instance-hours."""
    some: float
    """Hours in which there is at least one."""
    peak: int


@dataclass(frozen=True)
class Demand:
    """A month of requests."""

    days: tuple[tuple[float, ...], ...]
    """Requests per second in each hour. A day's are in rising order: only how many hours have which rate counts."""
    factor: float = 1.0
    """Times so many requests."""

    @cached_property
    def hours(self) -> int:
        return sum(map(len, self.days))

    @cached_property
    def _sums(self) -> tuple[float, ...]:
        return tuple(map(sum, self.days))

    @property
    def _month(self) -> float:
        """Hours of a month that each hour of `days` stands for."""
        return HOURS_PER_MONTH / self.hours

    @property
    def requests_per_month(self) -> float:
        return sum(self._sums) * self.factor * SECONDS * self._month

    @property
    def peak(self) -> float:
        """Requests per second."""
        return max(day[-1] for day in self.days) * self.factor

    def scaled(self, requests_per_month: float) -> Demand:
        """In the same shape; even all day where there are none to scale."""
        now = self.requests_per_month
        if now == 0 or requests_per_month == 0:
            return Demand(((requests_per_month / HOURS_PER_MONTH / SECONDS,) * HOURS_PER_DAY,))
        return Demand(self.days, self.factor * requests_per_month / now)

    def instances(self, capacity: float, least: int) -> Instances:
        """When each takes `capacity` requests per second, and there are never fewer than `least`."""
        counted = [_instances(day, capacity / self.factor, least) for day in self.days]
        hours, some = sum(each.hours for each in counted), sum(each.some for each in counted)
        return Instances(hours * self._month, some * self._month, max(each.peak for each in counted))

    def below(self, rate: float) -> float:
        """Requests a month, of those that come at no more than `rate`: what fuller hours have more is left out."""
        unscaled = rate / self.factor
        return sum(min(each, unscaled) for day in self.days for each in day) * self.factor * SECONDS * self._month

    def beyond(self, capacity: float, least: int, footprint: Footprint, covered: float) -> float:
        """Core-hours a month beyond `covered` (cores of each instance, on average over a day)."""
        total = 0.0
        for day, requests in zip(self.days, self._sums, strict=True):
            instances = _instances(day, capacity / self.factor, least).hours
            cores = requests * self.factor * footprint.cpu_seconds_per_request
            total += max(0.0, cores - (covered - footprint.background_cores) * instances)
        return total * self._month


def of_traffic(traffic: Traffic) -> Demand:
    """A month of it: of a day without requests where there are no hours."""
    rates = [hour.requests / SECONDS for hour in traffic.hours] or [0.0]
    return Demand(tuple(tuple(sorted(rates[at : at + HOURS_PER_DAY])) for at in range(0, len(rates), HOURS_PER_DAY)))


def needed(rate: float, capacity: float, least: int) -> int:
    return max(least, ceil(rate / capacity - _ROUNDING))


def _instances(rising: Sequence[float], capacity: float, least: int) -> Instances:
    peak = needed(rising[-1], capacity, least)
    if peak - least <= 4:  # few steps: count the hours above each, instead of looking at all hours
        above = [_above(rising, capacity, count) for count in range(least, peak)]
        some = len(rising) if least else (above[0] if above else 0)
        return Instances(least * len(rising) + sum(above), some, peak)
    counts = [needed(rate, capacity, least) for rate in rising]
    return Instances(sum(counts), sum(1 for count in counts if count), peak)


def _above(rising: Sequence[float], capacity: float, count: int) -> int:
    """Hours that need more than `count` instances."""
    return len(rising) - bisect_right(rising, (count + _ROUNDING) * capacity)
