"""From rounds to a comparison: medians with their ranges, and which figures are too noisy to tell patterns apart. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from fourfold.cost.comparison import Comparison
from fourfold.cost.rounds import Measured, Subject


def summary(subject: Subject, measured: Sequence[Measured]) -> Comparison:
    """Patterns in their usual order, whatever order they were measured in; money is not in it yet."""
    raise NotImplementedError
