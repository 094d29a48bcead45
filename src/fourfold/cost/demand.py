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
class Shape:
    """How requests come."""

    days: tuple[tuple[float, ...], ...]
    """Requests per second in each hour. A day's are in rising order: only how many hours have which rate counts."""

    @cached_property
    def hours(self) -> tuple[float, ...]:
        """Of all days, in rising order."""
        return tuple(sorted(rate for day in self.days for rate in day))

    @cached_property
    def days_with_sums(self) -> tuple[tuple[tuple[float, ...], float], ...]:
        return tuple((day, sum(day)) for day in self.days)

    @cached_property
    def total(self) -> float:
        return sum(self.hours)

    @cached_property
    def month(self) -> float:
        """Hours of a month that each hour stands for."""
        return HOURS_PER_MONTH / len(self.hours)


@dataclass(frozen=True)
class Demand:
    """A month of requests."""

    shape: Shape
    factor: float = 1.0
    """Times the requests of the shape."""

    @property
    def requests_per_month(self) -> float:
        return self.shape.total * self.factor * SECONDS * self.shape.month

    @property
    def peak(self) -> float:
        """Requests per second."""
        return self.shape.hours[-1] * self.factor

    def scaled(self, requests_per_month: float) -> Demand:
        """In the same shape; even all day where there are none to scale."""
        now = self.requests_per_month
        if now == 0 or requests_per_month == 0:
            return Demand(Shape(((requests_per_month / HOURS_PER_MONTH / SECONDS,),)))
        return Demand(self.shape, self.factor * requests_per_month / now)

    def instances(self, capacity: float, least: int) -> Instances:
        """When each takes `capacity` requests per second, and there are never fewer than `least`."""
        counted = _instances(self.shape.hours, capacity / self.factor, least)
        return Instances(counted.hours * self.shape.month, counted.some * self.shape.month, counted.peak)

    def runs(self, seconds: float) -> Instances:
        """Of a job, when each request is a run that takes so long."""
        hours = self.requests_per_month * seconds / SECONDS
        return Instances(hours, hours, ceil(self.peak * seconds - _ROUNDING))

    def below(self, rate: float) -> float:
        """Requests a month, of those that come at no more than `rate`: what fuller hours have more is left out."""
        unscaled = rate / self.factor
        return sum(min(each, unscaled) for each in self.shape.hours) * self.factor * SECONDS * self.shape.month

    def beyond(self, capacity: float, least: int, footprint: Footprint, covered: float) -> float:
        """Core-hours a month beyond `covered` (cores of each instance, on average over a day)."""
        left = covered - footprint.background_cores  # of each instance, for requests
        cores_per_rate = footprint.cpu_seconds_per_request * self.factor
        if self.shape.hours[-1] * cores_per_rate <= left * least:
            return 0.0  # not even in the busiest hour
        total = 0.0
        for day, rates in self.shape.days_with_sums:
            cores = rates * cores_per_rate
            total += max(0.0, cores - left * _instances(day, capacity / self.factor, least).hours)
        return total * self.shape.month


def of_traffic(traffic: Traffic) -> Demand:
    """A month of it: of a day without requests where there are no hours."""
    rates = [hour.requests / SECONDS for hour in traffic.hours] or [0.0]
    days = (rates[at : at + HOURS_PER_DAY] for at in range(0, len(rates), HOURS_PER_DAY))
    return Demand(Shape(tuple(tuple(sorted(day)) for day in days)))


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
