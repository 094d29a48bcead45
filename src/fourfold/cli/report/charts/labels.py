"""Where labels go so that none covers another, or what they label."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

SIZE = 12.0
"""Of the text in pictures, in their own units."""
WIDTH = 0.62
"""Of a character, by the height of the text: a little more than that of the widest common fonts."""

BESIDE = 12.0
"""A label that is nearer belongs to its point without a line."""


def width(text: str, size: float = SIZE) -> float:
    return len(text) * WIDTH * size


def spread(wished: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places at least `gap` apart, as near to the wished ones as that goes, in their order, between `low` and `high`.

    Should there be no room for all, they are as far apart as they can be.
    """
    gap = min(gap, (high - low) / max(1, len(wished) - 1))
    order = sorted(range(len(wished)), key=lambda index: wished[index])
    clusters: list[tuple[float, list[int]]] = []
    for index in order:
        clusters.append((min(max(wished[index], low), high), [index]))
        while len(clusters) > 1 and _first(clusters[-1], gap) - _last(clusters[-2], gap) < gap:
            (below, lower), (above, upper) = clusters[-2:]
            members = lower + upper
            middle = (below * len(lower) + above * len(upper)) / len(members)
            half = gap * (len(members) - 1) / 2
            clusters[-2:] = [(min(max(middle, low + half), high - half), members)]
    places = [0.0] * len(wished)
    for cluster in clusters:
        for rank, index in enumerate(cluster[1]):
            places[index] = _first(cluster, gap) + rank * gap
    return places


def _first(cluster: tuple[float, list[int]], gap: float) -> float:
    return cluster[0] - gap * (len(cluster[1]) - 1) / 2


def _last(cluster: tuple[float, list[int]], gap: float) -> float:
    return cluster[0] + gap * (len(cluster[1]) - 1) / 2


@dataclass(frozen=True)
class Box:
    x: float
    y: float
    width: float
    height: float

    def nearest(self, x: float, y: float) -> tuple[float, float]:
        """The point of it that is nearest to x, y."""
        return min(max(x, self.x), self.x + self.width), min(max(y, self.y), self.y + self.height)

    def overlap(self, other: Box) -> float:
        across = min(self.x + self.width, other.x + other.width) - max(self.x, other.x)
        down = min(self.y + self.height, other.y + other.height) - max(self.y, other.y)
        return max(0.0, across) * max(0.0, down)


def along(line: Sequence[tuple[float, float]], step: float = 5.0) -> list[Box]:
    """Small boxes that cover a line through these points: for labels to keep off."""
    boxes = []
    for (x1, y1), (x2, y2) in pairwise(line):
        parts = max(1, round(max(abs(x2 - x1), abs(y2 - y1)) / step))
        boxes += [
            Box(x1 + (x2 - x1) * part / parts - 2, y1 + (y2 - y1) * part / parts - 2, 4, 4) for part in range(parts + 1)
        ]
    return boxes


def place(
    points: Sequence[tuple[float, float]], sizes: Sequence[tuple[float, float]], frame: Box, avoid: Sequence[Box] = ()
) -> list[Box]:
    """A box for the label of each point, beside it, inside of `frame`, where it covers least."""
    taken = [*avoid, *(Box(x - 7, y - 7, 14, 14) for x, y in points)]
    placed: list[Box] = []
    for (x, y), (wide, high) in zip(points, sizes, strict=True):
        best = min(
            _around(x, y, wide, high), key=lambda box: _covered(box, taken) + _outside(box, frame) + _away(box, x, y)
        )
        inside = Box(
            min(max(best.x, frame.x), frame.x + frame.width - wide),
            min(max(best.y, frame.y), frame.y + frame.height - high),
            wide,
            high,
        )
        placed.append(inside)
        taken.append(inside)
    return placed


def _around(x: float, y: float, wide: float, high: float) -> Iterator[Box]:
    """The best place first: right, left, above, below, then corners, then farther off."""
    yield Box(x + 10, y - high / 2, wide, high)
    yield Box(x - 10 - wide, y - high / 2, wide, high)
    yield Box(x - wide / 2, y - 10 - high, wide, high)
    yield Box(x - wide / 2, y + 10, wide, high)
    for away in (6, 16, 32, 52, 78, 110):
        for down in (away, -away - high):
            yield Box(x + away, y + down, wide, high)
            yield Box(x - away - wide, y + down, wide, high)
            yield Box(x - wide / 2, y + down, wide, high)
        yield Box(x + away, y - high / 2, wide, high)
        yield Box(x - away - wide, y - high / 2, wide, high)


def _covered(box: Box, taken: Sequence[Box]) -> float:
    return sum(box.overlap(other) for other in taken)


def _away(box: Box, x: float, y: float) -> float:
    """Being farther off than beside is as bad as covering some of a letter."""
    return max(0.0, math.dist(box.nearest(x, y), (x, y)) - BESIDE) * 4


def _outside(box: Box, frame: Box) -> float:
    return box.width * box.height - box.overlap(frame)
