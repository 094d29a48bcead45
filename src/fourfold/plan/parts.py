"""Which services are planned together: those that wait for one another, or are hosts and guests of one another.

What one part is to do follows from that part alone, so a part at which nothing has changed need not be planned again
until one of its own deadlines comes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from fourfold.plan.model import Goal, Instance, Plan


@dataclass(slots=True)
class Part:
    goals: dict[str, Goal] = field(default_factory=dict)
    instances: list[Instance] = field(default_factory=list)


def parts(goals: Mapping[str, Goal], instances: Iterable[Instance]) -> dict[str, Part]:
    """By one service of each."""
    given = list(instances)
    key_of = {each.id: each.key for each in given}
    leaders: dict[str, str] = {}
    for goal in goals.values():
        for other in goal.waits_for:
            _join(leaders, goal.key, other)
    for each in given:
        if each.host is not None and (host := key_of.get(each.host)) is not None:
            _join(leaders, each.key, host)
    found: dict[str, Part] = {}
    for key in sorted(goals):
        found.setdefault(_leader(leaders, key), Part()).goals[key] = goals[key]
    for each in given:
        found.setdefault(_leader(leaders, each.key), Part()).instances.append(each)
    return found


def _leader(leaders: dict[str, str], key: str) -> str:
    while (above := leaders.get(key, key)) != key:
        leaders[key] = leaders.get(above, above)  # the way gets shorter each time that it is taken
        key = above
    return key


def _join(leaders: dict[str, str], one: str, other: str) -> None:
    one, other = _leader(leaders, one), _leader(leaders, other)
    if one != other:
        leaders[one] = other


class Memory:
    """Of parts that had nothing to do."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Part, float, Plan]] = {}

    def plan_all(self, parts: Mapping[str, Part], now: float, plan: Callable[[Part, float], Plan]) -> list[Plan]:
        known, self._known = self._known, {}
        found = []
        for name, part in parts.items():
            last = known.get(name)
            if last is None or last[0] != part or not _holds(*last[1:], now):
                last = (part, now, plan(part, now))
            if not last[2].actions:
                self._known[name] = last
            found.append(last[2])
        return found


def _holds(since: float, decided: Plan, now: float) -> bool:
    """The clock may have been set back meanwhile."""
    return since <= now and (decided.wake_at is None or now < decided.wake_at)
