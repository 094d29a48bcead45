"""Isolation against density: what an instance has of its own, and how many go into a GiB. Up and right is better."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from fourfold.cli.report import words
from fourfold.cli.report.charts import frame, labels, svg
from fourfold.cli.report.charts.labels import Box
from fourfold.cli.report.charts.marks import mark
from fourfold.cli.report.charts.marks import of as look
from fourfold.cli.report.charts.scales import Linear, Log, over

if TYPE_CHECKING:
    from fourfold.cost.comparison import Pattern

LEFT, RIGHT, TOP, BOTTOM = 34.0, 14.0, 34.0, 44.0
HEIGHT = 42.0
"""Of a label's three lines."""
MARK = 15.0
"""Of a mark, with a little around it."""
FAR = 20.0
"""A label that is farther from its mark has a line to it."""


@dataclass(frozen=True)
class Spot:
    pattern: Pattern
    bytes: float
    """Of one more beside the first."""
    owned: int
    """How many of `of` boundaries are its own."""
    which: str
    """Those, in words."""


def draw(spots: Sequence[Spot], of: int, width: float, height: float, class_: str) -> Markup | None:
    """None: there is nothing to show."""
    if not spots:
        return None
    across = over([_per_gib(spot) for spot in spots], LEFT + 14, width - RIGHT - 14)
    step = (height - BOTTOM - TOP - 24) / of
    content = []
    for level in range(of + 1):
        y = height - BOTTOM - 12 - level * step
        content += [svg.line(LEFT, y, width - RIGHT, y, "grid"), svg.text(LEFT - 9, y + 4, str(level), "tick", "end")]
    content += frame.columns(across, TOP, height - BOTTOM, words.amount, 5)
    content += [
        svg.text(0, 12, f"boundaries of its own, of {of}", "axis-title"),
        svg.text(width - RIGHT, 12, "more isolated, denser ↗", "hint", "end"),
        svg.text(width - RIGHT, height - 4, f"instances in 1 GiB{frame.note(across)}", "axis-title", "end"),
    ]
    points = [
        (x, height - BOTTOM - 12 - spot.owned * step) for x, spot in zip(_apart(spots, across), spots, strict=True)
    ]
    figures = [f"{words.in_gib(spot.bytes)} per GiB" for spot in spots]
    sizes = [
        (max(labels.width(spot.pattern, 12.5), labels.width(figure, 11), labels.width(spot.which, 11)), HEIGHT)
        for spot, figure in zip(spots, figures, strict=True)
    ]
    boxes = labels.place(points, sizes, Box(LEFT, TOP - 16, width - LEFT, height - BOTTOM - TOP + 16))
    for spot, figure, (x, y), box in zip(spots, figures, points, boxes, strict=True):
        anchor = "end" if box.x + box.width < x else "start" if box.x > x else "middle"
        at = {"end": box.x + box.width, "start": box.x, "middle": box.x + box.width / 2}[anchor]
        near = box.nearest(x, y)
        if math.dist(near, (x, y)) > FAR:
            content.append(svg.polyline([(x, y), near], f"leader {look(spot.pattern)}"))
        parts = [
            mark(spot.pattern, x, y, 6.5),
            svg.text(at, box.y + 11, spot.pattern, "name halo", anchor),
            svg.text(at, box.y + 24, figure, "tick halo", anchor),
            svg.text(at, box.y + 37, spot.which, "tick halo", anchor),
        ]
        content.append(svg.group(parts, title=f"{spot.pattern}: {figure}, {spot.owned} of {of} boundaries of its own"))
    return svg.picture(width, height, content, f"chart {class_}", _spoken(spots, figures, of))


def _per_gib(spot: Spot) -> float:
    return words.GIB / max(spot.bytes, words.MIB)


def _apart(spots: Sequence[Spot], across: Linear | Log) -> list[float]:
    """Where each is from left to right. Marks that would hide each other are moved by some pixels."""
    places = [across(_per_gib(spot)) for spot in spots]
    for level in {spot.owned for spot in spots}:
        here = [index for index, spot in enumerate(spots) if spot.owned == level]
        moved = labels.spread([places[index] for index in here], MARK, across.start, across.end)
        for index, place in zip(here, moved, strict=True):
            places[index] = place
    return places


def _spoken(spots: Sequence[Spot], figures: Sequence[str], of: int) -> str:
    said = [
        f"{spot.pattern}: {spot.owned} of {of} boundaries of its own, {figure}."
        for spot, figure in zip(spots, figures, strict=True)
    ]
    return "Isolation against density. " + " ".join(said)
