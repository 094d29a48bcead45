"""How far a comparison is, and how long it may still take: as long as steps like those left have taken. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fourfold.cost.comparison import Pattern


@dataclass(frozen=True)
class Step:
    kind: str
    """Steps of one kind under one pattern take about the same each time."""
    pattern: Pattern | None
    seconds: float
    """That it is reckoned to take before one like it was seen."""


class Progress:
    def __init__(self, steps: Iterable[Step]) -> None:
        self._left = list(steps)
        self._took: dict[tuple[str, Pattern | None], float] = {}
        self._ratio: dict[str, float] = {}
        """Of a kind: what the last one took, for each second that it was reckoned to take."""
        self._now: tuple[Step, float] | None = None
        self.done = 0

    @property
    def total(self) -> int:
        return self.done + len(self._left) + (self._now is not None)

    def begin(self, kind: str, pattern: Pattern | None, now: float) -> None:
        """The step, which must be one of those left; the one before it is done."""
        self.end(now)
        step = next(each for each in self._left if (each.kind, each.pattern) == (kind, pattern))
        self._left.remove(step)
        self._now = step, now

    def end(self, now: float) -> None:
        if self._now is None:
            return
        step, begun = self._now
        self._took[step.kind, step.pattern] = now - begun
        self._ratio[step.kind] = (now - begun) / step.seconds
        self._now = None
        self.done += 1

    def drop(self, pattern: Pattern) -> None:
        """None of its steps will be: it cannot be measured."""
        self._left = [each for each in self._left if each.pattern != pattern]

    def seconds_left(self, now: float) -> float:
        left = sum(self._reckoned(each) for each in self._left)
        if self._now is not None:
            step, begun = self._now
            left += max(0.0, self._reckoned(step) - (now - begun))
        return left

    def _reckoned(self, step: Step) -> float:
        if (took := self._took.get((step.kind, step.pattern))) is not None:
            return took
        return step.seconds * self._ratio.get(step.kind, 1.0)
