"""What charts with two axes have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup

from fourfold.cli.report import words
from fourfold.cli.report.charts import labels, svg
from fourfold.cli.report.charts.marks import of
from fourfold.cli.report.charts.scales import Linear, Log

if TYPE_CHECKING:
    from fourfold.cost.comparison import Pattern

LINE = 15.0
"""From one label's line to the next."""


def rows(scale: Linear | Log, left: float, right: float, name: Callable[[float], str], most: int = 6) -> list[Markup]:
    """Grid lines across, each named on its left."""
    return [
        svg.group(
            [
                svg.line(left, scale(tick), right, scale(tick), "grid"),
                svg.text(left - 7, scale(tick) + 4, words.brief(name(tick)), "tick", "end"),
            ]
        )
        for tick in scale.ticks(most)
    ]


def columns(
    scale: Linear | Log, top: float, bottom: float, name: Callable[[float], str], most: int = 6
) -> list[Markup]:
    """Grid lines down, each named below."""
    return [
        svg.group(
            [
                svg.line(scale(tick), top, scale(tick), bottom, "grid"),
                svg.text(scale(tick), bottom + 17, words.brief(name(tick)), "tick", "middle"),
            ]
        )
        for tick in scale.ticks(most)
    ]


def note(scale: Linear | Log) -> str:
    """For an axis' title."""
    return ", logarithmic" if isinstance(scale, Log) else ""


def ends(
    lines: Sequence[tuple[Pattern, float, float]],
    x: float,
    between: tuple[float, float],
    beside: dict[Pattern, str] | None = None,
) -> list[Markup]:
    """Names of lines at the right of a picture, each as near to the end of its line as the others let it be.

    `lines`: (pattern, x and y of the line's end); `x` is where the lines' room ends; `beside`: a word more for each.
    """
    second = beside or {}
    gap = LINE * (2 if second else 1)
    places = labels.spread([y for _, _, y in lines], gap, *between)
    drawn: list[Markup] = []
    for (pattern, end, y), place in zip(lines, places, strict=True):
        if abs(place - y) > 3 or x - end > 8:
            drawn.append(svg.polyline([(end + 5, y), (x + 4, y), (x + 10, place)], f"leader {of(pattern)}"))
        drawn.append(svg.text(x + 13, place + (4 if not second else -1), pattern, "name"))
        if pattern in second:
            drawn.append(svg.text(x + 13, place + 12, second[pattern], "tick"))
    return drawn
