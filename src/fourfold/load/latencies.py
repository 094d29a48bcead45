"""Times of requests -> the figures that tell about them. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

SHARES = (*(step / 20 for step in range(1, 19)), 0.925, 0.95, 0.96, 0.97, 0.98, 0.985, 0.99, 0.995, 0.999, 1.0)
"""Of the requests, at which a latency curve has its points: the same ones for all, so that curves can be compared."""


def quantile(ordered: Sequence[float], share: float) -> float:
    """The smallest of the values (rising, at least one) within which that share of them lies ("nearest rank")."""
    return ordered[max(0, min(len(ordered), math.ceil(share * len(ordered) - 1e-9)) - 1)]


def curve(ordered: Sequence[float]) -> tuple[tuple[float, float], ...]:
    return tuple((share, quantile(ordered, share)) for share in SHARES) if ordered else ()
