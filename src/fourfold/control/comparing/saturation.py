"""How much a service answers at most: asked by ever more clients at once, until more of them bring no more. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fourfold.load.model import Report

CLIENTS = (8, 32, 128)
GROWS = 1.5
"""Times as much as with fewer clients: it waits for something else than the CPU, and still grows. A little more is only
that requests which come together take less."""


@dataclass(frozen=True)
class Step:
    clients: int
    report: Report
    gateway_cores: float
    """Mean, that the gateway took."""


def steps(seconds: float) -> list[tuple[int, float]]:
    """(Clients at once, seconds)."""
    return [(clients, seconds / len(CLIENTS)) for clients in CLIENTS]


def goes_on(tried: Sequence[Step]) -> bool:
    """Whether more clients may bring more."""
    return len(tried) < 2 or tried[-1].report.good_per_second >= tried[-2].report.good_per_second


def best(tried: Sequence[Step]) -> Step:
    return max(tried, key=lambda step: step.report.good_per_second)


def still_grows(tried: Sequence[Step]) -> bool:
    """Nobody knows how far it would go."""
    return (
        len(tried) == len(CLIENTS) and tried[-1].report.good_per_second > GROWS * tried[-2].report.good_per_second > 0
    )
