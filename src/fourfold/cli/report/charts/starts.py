"""Start times: a row for each pattern, a panel for each kind of start, one axis below all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from fourfold.cli.report import words
from fourfold.cli.report.charts import svg
from fourfold.cli.report.charts.marks import mark, of
from fourfold.cli.report.charts.scales import Linear, Log, over

if TYPE_CHECKING:
    from fourfold.cost.comparison import Pattern

ROW, HEADING, AXIS = 21.0, 30.0, 40.0
NAMES, FIGURES = 84.0, 62.0
"""Room left of the axis for the patterns' names, and right of it for a figure beside the highest."""
MARK = 52.0
"""Of the axis: room for its words."""


@dataclass(frozen=True)
class Start:
    """One row: seconds, and the lowest and highest of the rounds."""

    pattern: Pattern
    seconds: float
    low: float
    high: float


@dataclass(frozen=True)
class Panel:
    title: str
    starts: tuple[Start, ...]


def draw(panels: Sequence[Panel], width: float, class_: str) -> Markup | None:
    """None: there is nothing to show."""
    panels = [panel for panel in panels if panel.starts]
    starts = [start for panel in panels for start in panel.starts]
    if not starts:
        return None
    height = sum(HEADING + ROW * len(panel.starts) for panel in panels) + AXIS
    scale = over(
        [value for start in starts for value in (start.low, start.seconds, start.high)], NAMES, width - FIGURES
    )
    bottom = height - AXIS + 4
    content = [
        svg.group(
            [
                svg.line(scale(tick), HEADING - 6, scale(tick), bottom, "grid"),
                svg.text(scale(tick), bottom + 16, _tick(tick), "tick", "middle"),
            ]
        )
        for tick in scale.ticks(max(2, int((width - NAMES - FIGURES) / MARK)))
    ]
    content.append(svg.text(width, height - 3, _axis(scale), "axis-title", "end"))
    top = 0.0
    for panel in panels:
        content.append(svg.text(0, top + 17, panel.title, "panel halo"))
        top += HEADING
        for start in panel.starts:
            content.append(_row(start, top + ROW / 2 - 2, scale))
            top += ROW
    return svg.picture(width, height, content, f"chart {class_}", _spoken(panels))


def _row(start: Start, y: float, scale: Linear | Log) -> Markup:
    x, low, high = scale(start.seconds), scale(start.low), scale(start.high)
    parts = [
        svg.text(0, y + 4, start.pattern, "name"),
        svg.line(NAMES, y, x, y, "lead"),
        *([svg.line(low, y, high, y, f"range {of(start.pattern)}")] if high - low > 1 else []),
        mark(start.pattern, x, y),
        svg.text(max(x, high) + 10, y + 4, words.seconds(start.seconds), "figure"),
    ]
    between = f", between {words.seconds(start.low)} and {words.seconds(start.high)}" if start.high > start.low else ""
    return svg.group(parts, title=f"{start.pattern}: {words.seconds(start.seconds)}{between}")


def _tick(value: float) -> str:
    return words.brief(words.seconds(value)) if value else "0"


def _axis(scale: Linear | Log) -> str:
    return "logarithmic scale" if isinstance(scale, Log) else ""


def _spoken(panels: Sequence[Panel]) -> str:
    said = [
        f"{panel.title}: " + ", ".join(f"{start.pattern} {words.seconds(start.seconds)}" for start in panel.starts)
        for panel in panels
    ]
    return "Start times. " + ". ".join(said) + "."
