"""What services of well-known kinds are advised: `archetypes.yaml`."""

from __future__ import annotations

from typing import Any

import pytest

from fourfold.cost.advice.advise import advise
from tests.cost.advice.rig import ROWS, case_of


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
