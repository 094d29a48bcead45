"""The rules, the facts that they ask for, and what may be supposed, read from the YAML files beside this one.

All of it is checked when it is read: a fact that is not described, a choice that is not one, a pattern misspelt or a
sentence that names a fact which its rule does not ask for is an error that names the rule.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from math import inf
from typing import Any, cast, get_args

from ruamel.yaml import YAML

from fourfold.cost.advice.conditions import Condition, test_of
from fourfold.cost.advice.model import Facts, Known, Value
from fourfold.cost.advice.words import Unit, parsed
from fourfold.cost.comparison import PATTERNS, Pattern
from fourfold.errors import UserError
from fourfold.spec.places import similar

EACH = "*"
"""In names of facts and in effects: of each pattern that the rule is about."""
SEEN = ("now", "is_now", "chosen")
"""Facts that are not supposed: what goes without them is another question."""
_SLOT = re.compile(r"\{([^{}]+)\}")


@dataclass(frozen=True)
class Fact:
    """One row of `facts.yaml`."""

    name: str
    what: str
    unit: Unit
    choices: tuple[str, ...] = ()
    each: bool = False
    """It is of a pattern: `container.start`."""
    taken: Value | None = None
    """Its value until somebody says otherwise."""


@dataclass(frozen=True)
class Rule:
    id: str
    when: Condition
    effect: Mapping[str, int]
    """Pattern, or `*` -> points."""
    because: str
    each: tuple[Pattern, ...] = ()


@dataclass(frozen=True)
class Scenario:
    """What may be so, or may come to be so."""

    id: str
    when: Condition
    unless: Condition
    """It is so already. Empty: that is not told."""
    supposes: Mapping[str, Known]
    says: str
    learn: str
    """A key of `learn`."""


@dataclass(frozen=True)
class Archetype:
    name: str
    when: Condition


@dataclass(frozen=True)
class Rules:
    facts: Mapping[str, Fact]
    rules: tuple[Rule, ...]
    scenarios: tuple[Scenario, ...]
    archetypes: tuple[Archetype, ...]

    def fact(self, name: str) -> Fact:
        """Also of `container.start`."""
        return self.facts[_kind(name)]

    def assumed(self, given: Mapping[str, str]) -> Facts:
        """What a user supposes: `{"untrusted": "true"}`. Raises UserError."""
        return {name: Known(self._value(name, text), "you") for name, text in given.items()}

    def _value(self, name: str, text: str) -> Value:
        pattern, dot, _ = name.partition(".")
        fact = self.facts.get(_kind(name))
        if fact is None or fact.each != bool(dot) or (dot and pattern not in PATTERNS):
            facts = [each for each in self.facts.values() if each.name not in SEEN]
            known = [f"PATTERN.{each.name}" if each.each else each.name for each in facts]
            hint = similar(name, [*self.facts, *known]) or f"facts are {', '.join(sorted(known))}"
            raise UserError(f"cannot suppose {name}: there is no such fact", hint)
        if fact.name in SEEN:
            raise UserError(f"cannot suppose {name}: it is what is", "deploy it so, or change the file")
        if fact.unit == "yes-no":
            said = {"true": True, "yes": True, "false": False, "no": False}
            if text.lower() not in said:
                raise UserError(f"cannot suppose {name}={text}: it is yes or no ({fact.what})")
            return said[text.lower()]
        if fact.unit == "choice":
            if text not in fact.choices:
                raise UserError(f"cannot suppose {name}={text}: it is one of {', '.join(fact.choices)}")
            return text
        try:
            number = parsed(text, fact.unit)
            if not 0 <= number < (1.000001 if fact.unit == "share" else inf):
                raise ValueError(text)
            return number
        except ValueError:
            example = {"share": "80%", "seconds": "0.5s", "bytes": "256Mi"}.get(fact.unit, "3")
            raise UserError(f"cannot suppose {name}={text}: give {fact.what} such as {example}") from None


@cache
def standard() -> Rules:
    """Those that come with Fourfold."""
    texts = {name: (files(__package__) / f"{name}.yaml").read_text() for name in ("facts", "rules", "scenarios")}
    return parse(**texts)


def parse(facts: str, rules: str, scenarios: str) -> Rules:
    """Raises ValueError that says where and why."""
    described = {name: _fact(name, row) for name, row in _load(facts)["facts"].items()}

    def condition(where: str, given: Mapping[str, Any] | None) -> Condition:
        found = {}
        for name, value in (given or {}).items():
            try:
                fact = _named(described, name)
                found[name] = test_of(name, value, fact.unit, fact.choices)
            except ValueError as error:
                raise ValueError(f"{where}: {error}") from None
        return found

    ruled, supposed = _load(rules), _load(scenarios)
    found = Rules(
        described,
        tuple(_rule(row, condition(row["id"], row.get("when"))) for row in ruled["rules"]),
        tuple(
            _scenario(row, condition(row["id"], row.get("when")), condition(row["id"], row.get("unless")))
            for row in supposed["scenarios"]
        ),
        tuple(Archetype(row["name"], condition(row["name"], row["when"])) for row in ruled["archetypes"]),
    )
    for problem in _problems(found):
        raise ValueError(problem)
    return found


def _load(text: str) -> dict[str, Any]:
    return cast(dict[str, Any], YAML(typ="safe").load(text))


def _fact(name: str, row: Mapping[str, Any]) -> Fact:
    choices = tuple(row.get("of", ()))
    unit = "choice" if choices else row["is"]
    if unit not in get_args(Unit):
        raise ValueError(f"{name}: {unit!r} is no kind of fact: {', '.join(get_args(Unit))}")
    return Fact(name, row["what"], cast(Unit, unit), choices, bool(row.get("each", False)), row.get("taken"))


def _rule(row: Mapping[str, Any], when: Condition) -> Rule:
    each = PATTERNS if row.get("each") == "all" else tuple(row.get("each", ()))
    return Rule(row["id"], when, row["effect"], " ".join(row["because"].split()), each)


def _scenario(row: Mapping[str, Any], when: Condition, unless: Condition) -> Scenario:
    supposes = {name: Known(value, "taken") for name, value in row["supposes"].items()}
    return Scenario(row["id"], when, unless, supposes, " ".join(row["says"].split()), row["learn"])


def slots(text: str) -> list[str]:
    """Facts that a sentence names: `{quiet_hours}`."""
    return _SLOT.findall(text)


def _kind(name: str) -> str:
    return name.partition(".")[2] or name


def _named(facts: Mapping[str, Fact], name: str) -> Fact:
    """What a rule calls so: `kind`, `container.start`, `*.start`. ValueError."""
    pattern, dot, _ = name.partition(".")
    fact = facts.get(_kind(name))
    if fact is None or (dot and not (fact.each and pattern in (*PATTERNS, EACH))):
        raise ValueError(f"there is no fact {name}")
    if fact.each and not dot:
        raise ValueError(f"{name} is of a pattern: write {EACH}.{name} or container.{name}")
    return fact


def _problems(rules: Rules) -> Iterator[str]:
    seen: set[str] = set()
    for rule in rules.rules:
        if rule.id in seen:
            yield f"{rule.id}: two rules have this name"
        seen.add(rule.id)
        known = {*PATTERNS, *((EACH,) if rule.each else ())}
        if wrong := [name for name in (*rule.effect, *rule.each) if name not in known]:
            yield f"{rule.id}: {wrong[0]!r} is no pattern"
        if missing := [name for name in slots(rule.because) if name not in rule.when]:
            yield f"{rule.id}: its sentence names {missing[0]}, which it does not ask for"
        if not rule.each and (wrong := [name for name in rule.when if name.startswith(EACH)]):
            yield f"{rule.id}: {wrong[0]} is of each pattern, and it does not say of which"
    for scenario in rules.scenarios:
        for name in scenario.supposes:
            try:
                _named(rules.facts, name)
            except ValueError as error:
                yield f"{scenario.id}: {error}"
