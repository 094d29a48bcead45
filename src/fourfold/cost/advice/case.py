"""What advice on one service is drawn from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fourfold.cost.advice.model import Blocker, Facts
from fourfold.cost.advice.source import Source
from fourfold.cost.comparison import BreakEven, Comparison, Pattern
from fourfold.cost.model import Traffic
from fourfold.spec.model import Service

LEAST_HOURS = 24
"""Of traffic, before its quiet hours and peaks, and what it costs, tell anything."""


@dataclass(frozen=True)
class Price:
    """What it would cost in the cloud under a pattern."""

    dollars: float
    """A month, at its traffic."""
    place: str
    """`EC2 host`, `EC2`, `Fargate`, `Lambda`."""
    estimated: bool = False
    """Made of a footprint that nobody measured."""


@dataclass(frozen=True)
class Case:
    app: str
    service: str
    spec: Service
    """With what its group says (`shared.kind`)."""
    now: Pattern
    source: Source | None = None
    """None: nobody has looked, or it is an image."""
    mates: tuple[str, ...] = ()
    """Other services of the file that live in its group, or could in one with it."""
    blockers: Mapping[Pattern, tuple[Blocker, ...]] = field(default_factory=dict)
    comparison: Comparison | None = None
    release: int | None = None
    """That runs; None: none does, or nobody was asked."""
    traffic: Traffic | None = None
    prices: Mapping[Pattern, Price] = field(default_factory=dict)
    break_even: tuple[BreakEven, ...] = ()
    emulated: bool | None = None
    """Whether virtual machines are, here."""
    supposed: Facts = field(default_factory=dict)
    """By the user: --assume."""
    asked_daemon: bool = False
    """Else nothing but the file was looked at."""
    file: str | None = None
    """Given with -f, for commands that are shown."""

    @property
    def knows_traffic(self) -> bool:
        return self.traffic is not None and len(self.traffic.hours) >= LEAST_HOURS
