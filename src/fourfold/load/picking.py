"""Which request is next: each as often as its weight says, evenly spread, in the same order every time. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence


def spread(weights: Sequence[float]) -> Iterator[int]:
    """Positions, without end. Each comes once in every 1/weight of a turn ("stride scheduling", Waldspurger 1995)."""
    due = [(0.5 / weight, position) for position, weight in enumerate(weights)]
    heapq.heapify(due)
    while True:
        at, position = due[0]
        yield position
        heapq.heapreplace(due, (at + 1 / weights[position], position))
