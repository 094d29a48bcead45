"""Who is best and who is worst, and when nobody can tell."""

from __future__ import annotations

import pytest

from fourfold.cost.comparison import PATTERNS, Comparison, Latency, PatternResult, Range
from fourfold.cost.figures import BY_NAME, FIGURES, standings, value

Case = tuple[float, float, float] | float | None
"""Middle, low, high; or measured once."""


def result(index: int, name: str, case: Case) -> PatternResult:
    middle = case[0] if isinstance(case, tuple) else case
    field, _, inner = name.partition(".")
    found: object = Latency(**{"p50": 0.0, "p95": 0.0, "p99": 0.0, inner: middle}) if inner and middle else middle
    spread = {name: Range(low=case[1], high=case[2], rounds=5)} if isinstance(case, tuple) else {}
    return PatternResult.model_validate(
        {"pattern": PATTERNS[index], "available": True, "spread": spread, "requests": 100, field: found}
    )


@pytest.mark.parametrize(
    ("name", "cases", "best", "worst"),
    [
        ("start_seconds", [0.2, 0.5, 4.0], "0", "2"),
        ("requests_per_second", [900.0, 500.0, 40.0], "0", "2"),
        ("start_seconds", [0.2, 0.204, 4.0], "01", "2"),  # two are as good
        ("start_seconds", [0.2, 0.202, 0.204], "", ""),  # all are
        ("start_seconds", [0.001, 0.004], "", ""),  # four times as much, and nothing
        ("build_seconds", [10.0, 10.2, 10.9], "01", "2"),
        ("start_seconds", [(1.0, 0.9, 1.2), (1.15, 1.1, 1.3), (3.0, 2.8, 3.1)], "01", "2"),
        ("start_seconds", [(1.0, 0.5, 4.0), (1.5, 1.4, 1.6), (3.0, 2.9, 3.1)], "1", "2"),  # the first may be either
        ("start_seconds", [(2.0, 0.5, 4.0), (2.1, 0.6, 4.1)], "", ""),
        ("requests_lost_in_deploy", [0, 1, 0], "02", "1"),
        ("requests_lost_in_deploy", [0, 0, 0], "", ""),
        ("errors", [0, 3], "0", "1"),
        ("latency_seconds.p50", [0.002, 0.009], "0", "1"),
        ("latency_seconds.p50", [0.002, None, 0.009], "0", "2"),
        ("monthly_cost", [3.5], "", ""),  # nobody to be better than
        ("monthly_cost", [None, None], "", ""),
    ],
)
def test_standings(name: str, cases: list[Case], best: str, worst: str) -> None:
    found = standings([result(index, name, case) for index, case in enumerate(cases)], BY_NAME[name])
    wanted = {PATTERNS[int(each)]: "best" for each in best} | {PATTERNS[int(each)]: "worst" for each in worst}
    assert found == wanted


def test_each_figure_is_of_a_field() -> None:
    full = PatternResult(pattern="vm", available=True, latency_seconds=Latency(p50=1, p95=1, p99=1), requests=1)
    for figure in FIGURES:
        first = figure.name.partition(".")[0]
        assert first in PatternResult.model_fields
        value(full, figure.name)
    assert "patterns" in Comparison.model_fields


def test_errors_of_no_requests_are_none() -> None:
    assert value(PatternResult(pattern="vm", available=True), "errors") is None
    assert value(PatternResult(pattern="vm", available=True, requests=2), "errors") == 0
