"""What a rule asks of facts: `{kind: [web, handler], quiet_hours: ">= 50%", keeps_data: false}`, all of it."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fourfold.cost.advice.model import Facts, Value
from fourfold.cost.advice.words import Unit, parsed

_BOUND = re.compile(r"(>=|<=|>|<)\s*(.+)")
_COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}


@dataclass(frozen=True)
class Test:
    """Of one fact. One that is not known passes no test."""

    one_of: tuple[Value, ...] = ()
    sign: str = ""
    bound: float = 0.0

    def holds(self, value: Value) -> bool:
        if not self.sign:
            return value in self.one_of
        return not isinstance(value, str) and _COMPARE[self.sign](float(value), self.bound)


Condition = Mapping[str, Test]


def test_of(name: str, value: Any, unit: Unit, choices: tuple[str, ...]) -> Test:
    """Of a fact of that unit. Raises ValueError that names the fact: of another kind, no such choice."""
    if unit == "yes-no":
        if not isinstance(value, bool):
            raise ValueError(f"{name} is yes or no: say true or false, not {value!r}")
        return Test(one_of=(value,))
    if unit == "choice":
        wanted = tuple(value) if isinstance(value, list) else (value,)
        if wrong := [each for each in wanted if each not in choices]:
            raise ValueError(f"{name} is one of {', '.join(choices)}, not {wrong[0]!r}")
        return Test(one_of=wanted)
    match = _BOUND.fullmatch(str(value))
    if match is None:
        raise ValueError(f"{name} is a number: compare it, such as '>= 2', not {value!r}")
    return Test(sign=match[1], bound=parsed(match[2], unit))


def holds(condition: Condition, facts: Facts) -> bool:
    return all(name in facts and test.holds(facts[name].value) for name, test in condition.items())
