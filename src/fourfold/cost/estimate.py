"""Footprints: from what was measured, and, where nothing was, from what is known of another pattern."""

from __future__ import annotations

from fourfold.cost.comparison import Comparison, Pattern
from fourfold.cost.model import Footprint, Traffic


def footprints(comparison: Comparison) -> dict[Pattern, Footprint]:
    """Of all patterns that were available in it; what was not measured is estimated from those that were."""
    raise NotImplementedError


def from_usage(pattern: Pattern, traffic: Traffic) -> Footprint | None:
    """Estimated from what its instances took under the pattern that they ran under. None: hours tell too little."""
    raise NotImplementedError


def under_all(known: Footprint) -> dict[Pattern, Footprint]:
    """What it would take under each other pattern, estimated; and itself."""
    raise NotImplementedError
