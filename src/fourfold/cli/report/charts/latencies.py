"""Latency curves: within how long which share of the requests was answered, with more room the rarer it gets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from fourfold.cli.report import words
from fourfold.cli.report.charts import frame, svg
from fourfold.cli.report.charts.marks import mark, of
from fourfold.cli.report.charts.scales import Tail, over

if TYPE_CHECKING:
    from fourfold.cost.comparison import Pattern

LEFT, RIGHT, TOP, BOTTOM = 52.0, 88.0, 26.0, 44.0
SHARES = {0.5: "50 %", 0.9: "90 %", 0.99: "99 %", 0.999: "99.9 %", 0.9999: "99.99 %"}
LEAST, MOST = 0.99, 0.9999
"""The axis ends at the highest share below 1 that somebody measured, between these."""


@dataclass(frozen=True)
class Curve:
    pattern: Pattern
    points: tuple[tuple[float, float], ...]
    """(Share of the requests, seconds), rising; two at least."""
    requests: float
    """In each round: of a hundred, no more can be said than within how long 99 % were answered."""


def draw(curves: Sequence[Curve], width: float, height: float, class_: str) -> Markup | None:
    """None: there is nothing to show."""
    shown = [(curve, _known(curve)) for curve in curves]
    shown = [(curve, points) for curve, points in shown if len(points) > 1]
    if not shown:
        return None
    last = max(share for _, points in shown for share, _ in points)
    across = Tail(min(max(last, LEAST), MOST), LEFT, width - RIGHT)
    down = over([seconds for _, points in shown for _, seconds in points], height - BOTTOM, TOP)
    content = [
        *frame.rows(down, LEFT, width - RIGHT, lambda value: words.seconds(value) if value else "0"),
        *(_column(share, across, height) for share in across.ticks(6)),
        svg.text(0, 12, f"answered within{frame.note(down)}", "axis-title"),
        svg.text(width - RIGHT, height - 4, "share of the requests", "axis-title", "end"),
    ]
    for curve, points in shown:
        title = f"{curve.pattern}: {_in_words(points)}"
        content.append(svg.polyline([(across(x), down(y)) for x, y in points], f"line {of(curve.pattern)}", title))
    ends = [(curve.pattern, across(points[-1][0]), down(points[-1][1])) for curve, points in shown]
    content += [mark(pattern, x, y, 4) for pattern, x, y in ends]
    content += frame.ends(ends, width - RIGHT, (TOP, height - BOTTOM))
    return svg.picture(width, height, content, f"chart {class_}", _spoken(shown))


def _column(share: float, across: Tail, height: float) -> Markup:
    x = across(share)
    return svg.group(
        [
            svg.line(x, TOP, x, height - BOTTOM, "grid"),
            svg.text(x, height - BOTTOM + 17, SHARES[share], "tick", "middle"),
        ]
    )


def _known(curve: Curve) -> list[tuple[float, float]]:
    """Without what the few slowest of a round alone decide, and without the very slowest, whose share is 1."""
    last = min(MOST, max(LEAST, 1 - 1 / max(1.0, curve.requests)))
    return [(share, seconds) for share, seconds in curve.points if share <= last + 1e-9]


def _in_words(points: Sequence[tuple[float, float]]) -> str:
    said = []
    for share in (0.5, 0.9, 0.99):
        within = next((seconds for reached, seconds in points if reached >= share - 1e-9), None)
        if within is not None:
            said.append(f"{SHARES[share]} within {words.seconds(within)}")
    return words.listed(said)


def _spoken(shown: Sequence[tuple[Curve, list[tuple[float, float]]]]) -> str:
    return "Latency. " + " ".join(f"{curve.pattern}: {_in_words(points)}." for curve, points in shown)
