"""How a pattern is told from others: by a colour, which the style sheet knows, a shape and a dash of its own.

The shapes are for whoever cannot tell the colours apart, and for black and white paper.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from markupsafe import Markup

from fourfold.cli.report.charts.svg import tag

if TYPE_CHECKING:
    from fourfold.cost.comparison import Pattern

SHAPES: dict[Pattern, str] = {
    "process": "circle",
    "shared": "square",
    "container": "triangle",
    "vm": "diamond",
    "function": "star",
}
POINTS: dict[str, tuple[tuple[float, float], ...]] = {
    "square": ((-0.88, -0.88), (0.88, -0.88), (0.88, 0.88), (-0.88, 0.88)),
    "triangle": ((0, -1.15), (1.1, 0.85), (-1.1, 0.85)),
    "diamond": ((0, -1.25), (1.15, 0), (0, 1.25), (-1.15, 0)),
    "star": tuple(
        (radius * math.sin(math.pi * index / 5), -radius * math.cos(math.pi * index / 5))
        for index, radius in enumerate((1.35, 0.6) * 5)
    ),
}
"""Corners of a shape of about the size 1 around 0, 0."""


def mark(pattern: Pattern, x: float, y: float, size: float = 5.0) -> Markup:
    """Its shape, filled, around x, y."""
    class_ = f"mark {of(pattern)}"
    if SHAPES[pattern] == "circle":
        return tag("circle", cx=x, cy=y, r=size, class_=class_)
    corners = " ".join(f"{x + size * across:.1f},{y + size * down:.1f}" for across, down in POINTS[SHAPES[pattern]])
    return tag("polygon", points=corners, class_=class_)


def of(pattern: Pattern) -> str:
    """The class that says whose colour and dash."""
    return f"of-{pattern}"


def swatch(pattern: Pattern) -> Markup:
    """For text: its shape alone. What it means stands beside it."""
    return tag(
        "svg", [mark(pattern, 7, 7, 5)], class_="swatch", viewBox="0 0 14 14", width=14, height=14, aria_hidden="true"
    )
