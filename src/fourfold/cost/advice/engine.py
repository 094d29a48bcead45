"""Rules on facts: which hold, what they say, and how the patterns come out."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import get_args

from fourfold.cost.advice.conditions import Test, holds
from fourfold.cost.advice.model import Facts, Origin, Reason
from fourfold.cost.advice.rules import EACH, Rule, Rules, slots
from fourfold.cost.advice.words import shown
from fourfold.cost.comparison import PATTERNS, Pattern

_ORIGINS: tuple[Origin, ...] = get_args(Origin)
SIMPLEST: tuple[Pattern, ...] = ("process", "container", "shared", "function", "vm")
"""Of patterns that do equally well, and none of which it runs under."""


@dataclass(frozen=True)
class Outcome:
    points: Mapping[Pattern, int]
    reasons: Mapping[Pattern, tuple[Reason, ...]]
    order: tuple[Pattern, ...]
    """As they do, the best first."""

    def best(self, possible: Collection[str]) -> Pattern | None:
        return next((pattern for pattern in self.order if pattern in possible), None)


def judge(rules: Rules, facts: Facts) -> Outcome:
    points: dict[Pattern, int] = dict.fromkeys(PATTERNS, 0)
    reasons: dict[Pattern, list[Reason]] = {pattern: [] for pattern in PATTERNS}
    for rule, pattern in _holding(rules, facts):
        for name, count in rule.effect.items():
            target = pattern if name == EACH else next(each for each in PATTERNS if each == name)
            assert target is not None  # `rules.parse` has seen to it
            points[target] += count
            reasons[target].append(_reason(rule, pattern, count, rules, facts))
    now = facts["now"].value if "now" in facts else None
    order = sorted(PATTERNS, key=lambda each: (-points[each], each != now, SIMPLEST.index(each)))
    sort = {each: tuple(sorted(found, key=lambda reason: -abs(reason.points))) for each, found in reasons.items()}
    return Outcome(points, sort, tuple(order))


def _holding(rules: Rules, facts: Facts) -> Iterator[tuple[Rule, Pattern | None]]:
    for rule in rules.rules:
        if not rule.each:
            if holds(rule.when, facts):
                yield rule, None
            continue
        for pattern in rule.each:
            if holds(_of(rule, pattern), facts):
                yield rule, pattern


def _of(rule: Rule, pattern: Pattern | None) -> dict[str, Test]:
    """What a rule asks for, of that pattern."""
    return {name.replace(EACH, str(pattern)): test for name, test in rule.when.items()}


def _reason(rule: Rule, pattern: Pattern | None, points: int, rules: Rules, facts: Facts) -> Reason:
    asked = [facts[name] for name in _of(rule, pattern)]
    text = rule.because
    for slot in slots(text):
        name = slot.replace(EACH, str(pattern))
        text = text.replace(f"{{{slot}}}", shown(facts[name].value, rules.fact(name).unit))
    origin = max((known.origin for known in asked), key=_ORIGINS.index, default="general")
    evidence = "; ".join(dict.fromkeys(known.evidence for known in asked if known.evidence))
    return Reason(rule=rule.id, text=text, origin=origin, evidence=evidence, points=points)
