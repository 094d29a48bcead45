"""From values to places in a picture, and where an axis has its marks."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

FEW_TIMES = 12.0
"""A range wider than this, as highest by lowest, is drawn on a logarithmic axis: the low ones would be one line."""


@dataclass(frozen=True)
class Linear:
    """From nought."""

    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (self.end - self.start) * min(max(value, 0.0), self.high) / self.high

    def ticks(self, most: int) -> list[float]:
        step = self._step(most)
        return [step * index for index in range(math.floor(self.high / step * 1.0001) + 1)]

    def _step(self, most: int) -> float:
        decade = 10.0 ** math.floor(math.log10(self.high / most))
        return next(decade * nice for nice in (1, 2, 5, 10, 20) if self.high / (decade * nice) <= most)


@dataclass(frozen=True)
class Log:
    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = math.log(min(max(value, self.low), self.high) / self.low) / math.log(self.high / self.low)
        return self.start + (self.end - self.start) * share

    def ticks(self, most: int) -> list[float]:
        """As many of each decade as there is room for; of many decades every second, third…"""
        for nice in ((1, 2, 5), (1, 3), (1,)):
            found = [value for value in self._marks(nice, 1) if self.low * 0.999 <= value <= self.high * 1.001]
            if len(found) <= most:
                return found
        for each in range(2, 30):
            found = [value for value in self._marks((1,), each) if self.low * 0.999 <= value <= self.high * 1.001]
            if len(found) <= most:
                return found
        return []

    def _marks(self, nice: tuple[int, ...], each: int) -> Iterable[float]:
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        first -= first % each
        return (digit * 10.0**decade for decade in range(first, last + 1, each) for digit in nice)


@dataclass(frozen=True)
class Tail:
    """Of shares of requests: each further nine has the same room, as in HdrHistogram's plots."""

    last: float
    """The highest share that is shown, below 1."""
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = math.log(1 - min(value, self.last)) / math.log(1 - self.last)
        return self.start + (self.end - self.start) * share

    def ticks(self, most: int) -> list[float]:
        return [share for share in (0.5, 0.9, 0.99, 0.999, 0.9999) if share <= self.last * 1.00001][:most]


def over(values: Iterable[float], start: float, end: float, floor: float = 0.0) -> Linear | Log:
    """For values that are not negative. What is not above `floor` is drawn at the low end of a logarithmic axis."""
    seen = list(values)
    positive = [value for value in seen if value > floor]
    if not positive:
        return Linear(1.0, start, end)
    low, high = min(positive), max(positive)
    if high / low <= FEW_TIMES:
        return Linear(high * 1.05, start, end)
    return Log(_below(low), _above(high), start, end)


def _below(value: float) -> float:
    """The nearest 1, 2 or 5 of a decade that leaves a little room."""
    decade = 10.0 ** math.floor(math.log10(value / 1.1))
    return max(decade * nice for nice in (1, 2, 5) if decade * nice <= value / 1.1 or nice == 1)


def _above(value: float) -> float:
    decade = 10.0 ** math.floor(math.log10(value * 1.1))
    return next(decade * nice for nice in (1, 2, 5, 10) if decade * nice >= value * 1.1 or nice == 10)
