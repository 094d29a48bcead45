"""What services of well-known kinds are advised: `archetypes.yaml`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fourfold.cost.advice.advise import advise
from fourfold.cost.advice.rules import standard
from fourfold.cost.comparison import Pattern
from tests.cost.advice.rig import ROWS, case_of


@pytest.mark.parametrize("row", ROWS, ids=[row["name"] for row in ROWS])
def test_the_first_reason_decides_if_any_does(row: dict[str, Any]) -> None:
    case, rules = case_of(row), standard()
    advice = advise(case)

    def without(rule: str) -> Pattern | None:
        return advise(case, replace(rules, rules=tuple(each for each in rules.rules if each.id != rule))).advised

    first, *others = (each.rule for each in advice.patterns[0].reasons if each.points > 0)
    assert without(first) != advice.advised or all(without(each) == advice.advised for each in others)


@pytest.mark.parametrize("row", ROWS, ids=[row["name"] for row in ROWS])
def test_an_archetype(row: dict[str, Any]) -> None:
    advice = advise(case_of(row))
    assert advice.advised == row["advised"], advice.patterns
    assert advice.archetype == row["reads"]
    assert advice.sure == row.get("sure", advice.sure), (advice.why_sure, advice.changes)
    assert advice.patterns[0].standing == "advised"
    assert any(reason.points > 0 for reason in advice.patterns[0].reasons), "it says why"
    stopped = {each.pattern for each in advice.patterns if each.standing == "impossible"}
    assert stopped == set(row.get("impossible", stopped))
    assert advice.first == ((row["first"],) if "first" in row else ())
    assert (advice.move is None) == (advice.advised == advice.now)
