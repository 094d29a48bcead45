"""What advice is made of and what it says: `advise -o json` prints a list of `Advice`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from fourfold.cost.comparison import Pattern
from fourfold.spec.base import Model

Value = bool | float | str
Origin = Literal["general", "taken", "file", "source", "host", "prices", "traffic", "measured", "you"]
"""Where something is known from, the weakest first: `general` is true of every service, `taken` until somebody says
otherwise, `you` said so with --assume."""


@dataclass(frozen=True)
class Known:
    """A fact, and how it came to be known."""

    value: Value
    origin: Origin
    evidence: str = ""
    """`app.py:31`, `container.isolation: vm`."""


Facts = Mapping[str, Known]
"""By names of `facts.yaml`; what is of one pattern begins with it: `container.start`. Not in it: not known."""


class Blocker(Model):
    """Why it does not run under a pattern as it is."""

    kind: Literal["setting", "program", "host", "measured"]
    """A line of the file, which does not count against it; the service itself; this machine; it was tried."""
    why: str
    fix: str | None = None


class Reason(Model):
    rule: str
    text: str
    origin: Origin
    evidence: str = ""
    points: int
    """For the pattern, or (negative) against it. 3 or more: decides unless something else does."""


class PatternAdvice(Model):
    pattern: Pattern
    standing: Literal["advised", "close", "possible", "poor", "impossible"]
    points: int
    reasons: tuple[Reason, ...] = ()
    """Those that count most first."""
    blockers: tuple[Blocker, ...] = ()
    monthly_cost: float | None = None
    """Dollars in the cloud, at its traffic."""
    place: str | None = None
    """Whose prices these are: `EC2 host`, `EC2`, `Fargate`, `Lambda`."""


class Change(Model):
    """What would make it another answer."""

    pattern: Pattern
    """That one."""
    condition: str
    """Goes on after `if`: `it wrote to its own disk`."""
    open: bool
    """Nobody knows whether it is so already."""
    how: str | None = None
    """Of what is not known: how to tell. Of what stops it: what to change."""


class Command(Model):
    command: str
    tells: str


class Advice(Model):
    app: str
    service: str
    now: Pattern
    """What it runs under, or is to by its file."""
    advised: Pattern | None = None
    """None: it runs under no pattern as it is."""
    better: Pattern | None = None
    """Would do better, and is stopped."""
    archetype: str | None = None
    """`a steady API`."""
    sure: Literal["sure", "fairly", "unsure"]
    why_sure: str
    known: tuple[str, ...]
    """What the advice is drawn from."""
    unknown: tuple[str, ...]
    patterns: tuple[PatternAdvice, ...]
    """The advised one first, then as they would do."""
    changes: tuple[Change, ...] = ()
    surer: tuple[Command, ...] = ()
    """What would tell what is not known."""
    first: tuple[str, ...] = ()
    """What its file needs for the advised pattern."""
    move: str | None = None
    """The command that moves it; None: it is there already."""
    notes: tuple[str, ...] = ()
