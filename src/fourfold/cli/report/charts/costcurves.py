"""Cost over traffic: a line for each pattern, a ring where the cheapest changes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from fourfold.cli.printing.money import dollars
from fourfold.cli.report import words
from fourfold.cli.report.charts import frame, labels, svg
from fourfold.cli.report.charts.labels import Box
from fourfold.cli.report.charts.marks import of
from fourfold.cli.report.charts.scales import Linear, Log, over

if TYPE_CHECKING:
    from fourfold.cost.comparison import Pattern

LEFT, RIGHT, TOP, BOTTOM = 56.0, 98.0, 40.0, 44.0
CENT = 0.01
"""What costs less is not drawn on a logarithmic scale, which would have no end there."""


@dataclass(frozen=True)
class Curve:
    pattern: Pattern
    place: str
    points: tuple[tuple[float, float], ...]
    """(Requests a month, dollars a month), rising in requests."""


@dataclass(frozen=True)
class Crossing:
    requests: float
    title: str
    cheapest: bool
    """Of all that are drawn, not of these two only: what is cheapest changes there."""


def draw(
    curves: Sequence[Curve],
    crossings: Sequence[Crossing],
    traffic: float | None,
    width: float,
    height: float,
    class_: str,
) -> Markup | None:
    """`traffic`: requests a month that figures elsewhere are for. None: there is nothing to show."""
    shown = [(curve, [(x, y) for x, y in curve.points if x > 0]) for curve in curves]
    shown = [(curve, points) for curve, points in shown if len(points) > 1]
    if not shown:
        return None
    across = _across([x for _, points in shown for x, _ in points], LEFT, width - RIGHT)
    down = over([y for _, points in shown for _, y in points], height - BOTTOM, TOP, floor=CENT)
    content = [
        *frame.rows(down, LEFT, width - RIGHT, dollars),
        *frame.columns(across, TOP, height - BOTTOM, words.amount, 5 if width < 400 else 7),
        svg.text(0, 12, f"US dollars a month{frame.note(down)}", "axis-title"),
        svg.text(width - RIGHT, height - 4, f"requests a month{frame.note(across)}", "axis-title", "end"),
    ]
    if traffic:
        content += _traffic(traffic, across, height)
    lines = [[(across(x), down(y)) for x, y in _drawable(points, down)] for _, points in shown]
    for (curve, _), line in zip(shown, lines, strict=True):
        content.append(svg.polyline(line, f"line {of(curve.pattern)}", f"{curve.pattern}, {curve.place}"))
    avoid = [*lines, [(across(traffic), TOP), (across(traffic), height - BOTTOM)]] if traffic else lines
    room = Box(LEFT, TOP, width - RIGHT - LEFT, height - BOTTOM - TOP)
    content += _crossings(crossings, lines, across, room, [box for line in avoid for box in labels.along(line)])
    last = [(curve.pattern, *line[-1]) for (curve, _), line in zip(shown, lines, strict=True)]
    beside = {curve.pattern: curve.place for curve, _ in shown}
    content += frame.ends(last, width - RIGHT, (TOP + 4, height - BOTTOM - 4), beside)
    return svg.picture(width, height, content, f"chart {class_}", _spoken(shown, crossings))


def _across(values: Sequence[float], start: float, end: float) -> Linear | Log:
    low, high = min(values), max(values)
    return Log(low, high, start, end) if high / low > 1.01 else Linear(high, start, end)


def _drawable(points: list[tuple[float, float]], down: Linear | Log) -> list[tuple[float, float]]:
    """Without what is below the scale: from where it comes up."""
    if not isinstance(down, Log):
        return points
    for index, (x, y) in enumerate(points):
        if y >= down.low:
            if index == 0:
                return points
            before, below = points[index - 1]
            share = math.log(down.low / max(below, down.low / 1e6)) / math.log(y / max(below, down.low / 1e6))
            return [(before * (x / before) ** share, down.low), *points[index:]]
    return points[-1:]


def _traffic(requests: float, across: Linear | Log, height: float) -> list[Markup]:
    x = across(requests)
    return [
        svg.line(x, TOP - 8, x, height - BOTTOM, "traffic"),
        svg.text(x, TOP - 12, words.amount(requests), "hint", "middle"),
    ]


def _crossings(
    crossings: Sequence[Crossing],
    lines: Sequence[Sequence[tuple[float, float]]],
    across: Linear | Log,
    room: Box,
    avoid: Sequence[Box],
) -> list[Markup]:
    """Where the cheapest changes; of other pairs the list below tells. `lines`: as they are drawn."""
    changes = [crossing for crossing in crossings if crossing.cheapest]
    places = [across(crossing.requests) for crossing in changes]
    points = [(x, max(at(line, x) for line in lines)) for x in places]
    figures = [words.amount(crossing.requests) for crossing in changes]
    sizes = [(labels.width(figure), 16.0) for figure in figures]
    boxes = labels.place(points, sizes, room, avoid)
    return [
        svg.group(
            [
                svg.tag("circle", cx=x, cy=y, r=5.5, class_="ring"),
                svg.text(box.x + box.width / 2, box.y + 12, figure, "figure halo", "middle"),
            ],
            title=crossing.title,
        )
        for crossing, figure, (x, y), box in zip(changes, figures, points, boxes, strict=True)
    ]


def at(points: Sequence[tuple[float, float]], x: float) -> float:
    """How high a line through these points is at `x`."""
    before = points[0]
    for point in points:
        if point[0] >= x:
            share = (x - before[0]) / (point[0] - before[0]) if point[0] > before[0] else 1.0
            return before[1] + (point[1] - before[1]) * share
        before = point
    return before[1]


def _spoken(shown: Sequence[tuple[Curve, list[tuple[float, float]]]], crossings: Sequence[Crossing]) -> str:
    said = [
        f"{curve.pattern}, {curve.place}: {dollars(points[0][1])} for {words.amount(points[0][0])} requests, "
        f"{dollars(points[-1][1])} for {words.amount(points[-1][0])}."
        for curve, points in shown
    ]
    return "Cost over traffic, a month. " + " ".join(
        [*said, *(f"{crossing.title}." for crossing in crossings if crossing.cheapest)]
    )
