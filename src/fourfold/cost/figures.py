"""The figures of a comparison: which way each is good, and between which patterns it makes a difference. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from fourfold.cost.comparison import Pattern, PatternResult

Standing = Literal["best", "worst"]
_ONCE = 0.05
"""Share by which a figure that was measured once may be off: what differs less is the same."""


@dataclass(frozen=True)
class Figure:
    name: str
    """Of a field of `PatternResult`; `latency_seconds.p95`: of what is in it."""
    resolution: float = 0.0
    """What differs less is the same, however small it is."""
    more_is_better: bool = False
    exact: bool = False
    """A count: each one more is a difference."""


MIB = 1024.0 * 1024
FIGURES: tuple[Figure, ...] = (
    Figure("build_seconds", 0.1),
    Figure("rebuild_seconds", 0.1),
    Figure("artifact_bytes", 4096),
    Figure("start_seconds", 0.01),
    Figure("cold_start_seconds", 0.01),
    Figure("restart_seconds", 0.05),
    Figure("idle_memory_bytes", MIB),
    Figure("loaded_memory_bytes", MIB),
    Figure("next_instance_memory_bytes", MIB),
    Figure("cpu_seconds_per_1000_requests", 0.01),
    Figure("requests_per_second", 1.0, more_is_better=True),
    Figure("latency_seconds.p50", 0.0002),
    Figure("latency_seconds.p95", 0.0005),
    Figure("latency_seconds.p99", 0.001),
    Figure("errors", exact=True),
    Figure("deploy_seconds", 0.1),
    Figure("requests_lost_in_deploy", exact=True),
    Figure("monthly_cost", 0.01),
    Figure("own_hardware_monthly_cost", 0.001),
)
"""In the order in which a reader asks."""
BY_NAME = {figure.name: figure for figure in FIGURES}


def value(result: PatternResult, name: str) -> float | None:
    """None: it was not measured."""
    if name == "errors" and not result.requests:
        return None
    found: object = result
    for part in name.split("."):
        found = None if found is None else getattr(found, part)
    return found if isinstance(found, int | float) else None


def standings(results: Sequence[PatternResult], figure: Figure) -> dict[Pattern, Standing]:
    """Who is best and who is worst. Several may be; nobody is where their ranges cannot be told apart.

    Of patterns that could not be measured to their end, what was measured counts.
    """
    ranges = {each.pattern: reach for each in results if (reach := _reach(each, figure)) is not None}
    if len(ranges) < 2:
        return {}
    best, worst = (
        _at_the_low_end(ranges),
        _at_the_low_end({each: (-high, -low) for each, (low, high) in ranges.items()}),
    )
    if figure.more_is_better:
        best, worst = worst, best
    if best & worst:  # one whose range reaches from the best to the worst says nothing about either
        best, worst = best - worst, worst - best
    if not best or not worst:
        return {}
    return {**dict.fromkeys(best, "best"), **dict.fromkeys(worst, "worst")}


def _at_the_low_end(ranges: dict[Pattern, tuple[float, float]]) -> set[Pattern]:
    lowest = min(ranges.values(), key=lambda reach: (reach[0] + reach[1], reach[1]))
    return {each for each, reach in ranges.items() if reach[0] <= lowest[1]}


def _reach(result: PatternResult, figure: Figure) -> tuple[float, float] | None:
    """From where to where the true value may be."""
    number = value(result, figure.name)
    if number is None:
        return None
    if figure.exact:
        return number, number
    half = max(figure.resolution, abs(number) * _ONCE) / 2
    measured = result.spread.get(figure.name)
    if measured is None or measured.rounds < 2:
        return number - half, number + half
    return min(measured.low, number - half), max(measured.high, number + half)
