"""Which figures of a comparison go into which chart; each is drawn for a wide screen and for a phone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from fourfold.cli.report import boundaries, figures, words
from fourfold.cli.report.charts import costcurves, density, latencies, starts
from fourfold.cost.comparison import PatternResult
from fourfold.cost.figures import value

if TYPE_CHECKING:
    from fourfold.cost.comparison import BreakEven, Comparison

WIDE, NARROW = (500.0, 430.0), (326.0, 350.0)
"""Width and height."""
ALIKE = 1.02
"""Two costs whose ratio is below it are the same where lines cross: they are drawn from points with gaps between."""


@dataclass(frozen=True)
class Drawing:
    id: str
    title: str
    reading: str
    """How to read it, or what to take from it."""
    pictures: tuple[Markup, ...]
    """The same one, for columns of different widths."""
    nothing: str
    """What to say when there are none."""


def drawings(comparison: Comparison) -> tuple[Drawing, ...]:
    results = figures.measured(comparison)
    rate = words.brief(words.number(comparison.load.requests_per_second))
    return (
        Drawing(
            "starts",
            "How fast it starts",
            "From the start to the first good answer; the line around a mark spans all rounds.",
            _both(lambda size, class_: starts.draw(_panels(results), size[0], class_)),
            "No start was measured.",
        ),
        Drawing(
            "latency",
            "How fast it answers",
            f"At a steady {rate} requests a second.",
            _both(lambda size, class_: latencies.draw(_curves(comparison), size[0], size[1] + 24, class_)),
            "No latency was measured.",
        ),
        Drawing(
            "isolation",
            "Isolation against density",
            "How many of process, user, file system, network and kernel are its own, and how many instances fit.",
            _both(
                lambda size, class_: density.draw(
                    _spots(results), len(boundaries.BOUNDARIES), size[0], size[1] + 24, class_
                )
            ),
            "Neither memory nor boundaries were measured.",
        ),
        Drawing(
            "cost",
            "What it costs in the cloud",
            "Over traffic, where each pattern is rented. A ring: another one becomes the cheapest."
            + (" Dashed: the traffic that the table's costs are for." if comparison.requests_per_month else ""),
            _both(
                lambda size, class_: costcurves.draw(
                    _costs(results), crossings(comparison), comparison.requests_per_month, *size, class_
                )
            ),
            "No prices were applied to it.",
        ),
    )


def _both(draw: Callable[[tuple[float, float], str], Markup | None]) -> tuple[Markup, ...]:
    drawn = (draw(WIDE, "wide"), draw(NARROW, "narrow"))
    return tuple(picture for picture in drawn if picture is not None)


def _panels(results: tuple[PatternResult, ...]) -> list[starts.Panel]:
    wanted = (
        ("start_seconds", "Start, as usual"),
        ("cold_start_seconds", "First start of a release"),
        ("restart_seconds", "Restart, until it has all traffic"),
    )
    return [
        starts.Panel(title, tuple(start for result in results if (start := _start(result, field)) is not None))
        for field, title in wanted
    ]


def _start(result: PatternResult, field: str) -> starts.Start | None:
    seconds = value(result, field)
    if seconds is None:
        return None
    spread = result.spread.get(field)
    return starts.Start(result.pattern, seconds, spread.low if spread else seconds, spread.high if spread else seconds)


def _curves(comparison: Comparison) -> list[latencies.Curve]:
    rounds = max(1, comparison.rounds)
    return [
        latencies.Curve(result.pattern, result.latency_seconds.curve, result.requests / rounds)
        for result in figures.measured(comparison)
        if result.latency_seconds is not None
    ]


def _spots(results: tuple[PatternResult, ...]) -> list[density.Spot]:
    spots = []
    for result in results:
        more, own = result.next_instance_memory_bytes, boundaries.owned(result.facts)
        if more is not None and own is not None and result.facts is not None:
            spots.append(density.Spot(result.pattern, more, own, boundaries.which(result.facts)))
    return spots


def _costs(results: tuple[PatternResult, ...]) -> list[costcurves.Curve]:
    return [
        costcurves.Curve(result.pattern, result.costs.place, result.costs.points)
        for result in results
        if result.costs is not None
    ]


def crossings(comparison: Comparison) -> list[costcurves.Crossing]:
    """From few requests to many."""
    ordered = sorted(comparison.break_even, key=lambda point: point.requests_per_month)
    return [
        costcurves.Crossing(point.requests_per_month, said(point), is_change(comparison, point)) for point in ordered
    ]


def said(point: BreakEven) -> str:
    below, above = point.between
    return f"From {words.amount(point.requests_per_month)} requests a month on, {above} costs less than {below}"


def is_change(comparison: Comparison, point: BreakEven) -> bool:
    """Whether the cheapest of all changes there, not only the cheaper one of two."""
    there = {
        curve.pattern: costcurves.at(points, point.requests_per_month)
        for curve in _costs(figures.measured(comparison))
        if len(points := [pair for pair in curve.points if pair[0] > 0]) > 1
    }
    if not set(point.between) <= set(there):
        return False
    return min(there[pattern] for pattern in point.between) <= min(there.values()) * ALIKE
