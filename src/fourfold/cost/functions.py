"""What invocations took, summed, and what that costs. Sums are whole numbers: no order of adding changes them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fourfold.cost.prices import FunctionPrice

GIB = 2**30


@dataclass(frozen=True)
class Taken:
    """By some invocations of one function."""

    requests: int = 0
    failed: int = 0
    """Of those: ended by an error, a timeout or a crash."""
    billed_ms: int = 0
    byte_ms: int = 0
    """Bytes allotted times milliseconds billed."""

    def __add__(self, other: Taken) -> Taken:
        return Taken(
            self.requests + other.requests,
            self.failed + other.failed,
            self.billed_ms + other.billed_ms,
            self.byte_ms + other.byte_ms,
        )

    @property
    def gb_seconds(self) -> float:
        return self.byte_ms / GIB / 1000


def invocation(memory: int, billed_ms: int, failed: bool) -> Taken:
    """By one; `memory` is what was allotted, in bytes."""
    return Taken(1, int(failed), billed_ms, memory * billed_ms)


def total(parts: Iterable[Taken]) -> Taken:
    return sum(parts, Taken())


@dataclass(frozen=True)
class Bill:
    """US dollars."""

    requests: float
    duration: float

    @property
    def total(self) -> float:
        return self.requests + self.duration


def bill(taken: Taken, price: FunctionPrice) -> Bill:
    return Bill(taken.requests * price.request, taken.gb_seconds * price.gb_second)
