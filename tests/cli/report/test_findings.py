"""What stands out, and that nothing does where it cannot be told."""

from __future__ import annotations

from typing import Any

import pytest

from fourfold.cli.report import boundaries, drawings, figures
from fourfold.cli.report.findings import Finding, findings
from fourfold.cost.comparison import Comparison, Facts, Pattern, Range
from tests.cli.report.samples import COMPARISON, CROWDED, NOTHING


def found(comparison: Comparison, title: str) -> Finding | None:
    said = {finding.title: finding for finding in findings(comparison)}
    return said.get(title)


def with_changed(pattern: Pattern, **changes: Any) -> Comparison:
    """The usual comparison, one pattern otherwise."""
    changed = (each.model_copy(update=changes) if each.pattern == pattern else each for each in COMPARISON.patterns)
    return COMPARISON.model_copy(update={"patterns": tuple(changed)})


MS, GIB = "\N{NO-BREAK SPACE}ms", "\N{NO-BREAK SPACE}GiB"


ALL_NOISY = [each.model_copy(update={"too_noisy": ("start_seconds",)}) for each in COMPARISON.patterns]
NOISY = COMPARISON.model_copy(update={"patterns": tuple(ALL_NOISY)})


@pytest.mark.parametrize(
    ("comparison", "title", "patterns", "figure", "beside"),
    [
        (COMPARISON, "Costs least in the cloud", ("shared",), "$0.62 a month", "process, live now: $2.10"),
        (COMPARISON, "Starts fastest", ("shared", "function"), f"190{MS}", f"process, live now: 310{MS}"),
        (COMPARISON, "Answers fastest", ("process", "container"), f"4.7{MS} for 99 %", f"then shared: 7.7{MS}"),
        (COMPARISON, "Packs densest", ("shared",), f"146 in 1{GIB}", "process, live now: 39"),
        (COMPARISON, "Shares least", ("vm",), "5 of 5 boundaries", "process, live now: 2"),
        (CROWDED, "Packs densest", (), "all alike", f"34 in 1{GIB}"),
        (
            NOISY,
            "Starts fastest", (), "too noisy to tell", f"190{MS} to 4.8\N{NO-BREAK SPACE}s",
        ),
        (
            with_changed("shared", too_noisy=("start_seconds",)),
            "Starts fastest", ("function",), f"240{MS}", f"process, live now: 310{MS}",
        ),
    ],
)  # fmt: skip
def test_who_does_best(comparison: Comparison, title: str, patterns: tuple[str, ...], figure: str, beside: str) -> None:
    assert found(comparison, title) == Finding(title, patterns, figure, beside)  # type: ignore[arg-type]


def test_nobody_is_the_best_of_one() -> None:
    assert findings(NOTHING) == ()
    assert findings(COMPARISON.model_copy(update={"patterns": COMPARISON.patterns[:1]})) == ()


def test_noisy_figures_are_marked_and_nobodys_best() -> None:
    comparison = with_changed("shared", too_noisy=("start_seconds",))
    row = next(row for section in figures.sections(comparison) for row in section.rows if row.figure.title == "Start")
    shared = next(cell for cell in row.cells if cell.pattern == "shared")
    assert (shared.noisy, shared.standing, shared.text, shared.range) == (True, None, "190 ms", "167–213 ms")


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (1.2, 1.9, "1.2–1.9 s"),
        (0.9, 1.1, "900 ms–1.1 s"),
        (55.0, 65.0, "55 s–1 min 5 s"),
        (90.0, 150.0, "1 min 30 s–2 min 30 s"),
        (60.0, 120.0, "1–2 min"),
    ],
)
def test_a_range_has_its_unit_once_where_both_ends_have_the_same(low: float, high: float, said: str) -> None:
    comparison = with_changed("vm", spread={"start_seconds": Range(low=low, high=high, rounds=3)})
    row = next(row for section in figures.sections(comparison) for row in section.rows if row.figure.title == "Start")
    assert [cell.range for cell in row.cells if cell.pattern == "vm"] == [said]


def test_what_was_not_measured_is_no_figure() -> None:
    comparison = with_changed("vm", start_seconds=None, requests=0, errors=0)
    rows = {row.figure.title: row.cells for section in figures.sections(comparison) for row in section.rows}
    assert [cell.text for cell in rows["Start"] if cell.pattern == "vm"] == ["–"]
    assert [cell.text for cell in rows["Errors"] if cell.pattern == "vm"] == ["–"]


NONE_OWN = Facts(**dict.fromkeys(boundaries.BOUNDARIES, False))


@pytest.mark.parametrize(
    ("facts", "owned", "which"),
    [
        (Facts(), None, "all shared"),
        (NONE_OWN, 0, "all shared"),
        (NONE_OWN.model_copy(update={"own_process": True, "own_user": True}), 2, "process, user"),
        (NONE_OWN.model_copy(update={"own_network": None}), None, "all shared"),
        (Facts(**{**dict.fromkeys(boundaries.BOUNDARIES, True), "own_kernel": False}), 4, "all but kernel"),
    ],
)
def test_boundaries(facts: Facts, owned: int | None, which: str) -> None:
    assert (boundaries.owned(facts), boundaries.which(facts)) == (owned, which)


def test_what_takes_next_to_nothing_is_densest() -> None:
    comparison = with_changed("shared", next_instance_memory_bytes=0)
    densest = Finding("Packs densest", ("shared",), f"over\N{NO-BREAK SPACE}1,000 in 1{GIB}", "process, live now: 39")
    assert found(comparison, "Packs densest") == densest
    isolation = next(each for each in drawings.drawings(comparison) if each.id == "isolation")
    assert "shared: over 1,000 per GiB" in isolation.pictures[0]


def test_a_ring_is_where_the_cheapest_of_all_changes() -> None:
    crossings = drawings.crossings(COMPARISON)
    assert [crossing.cheapest for crossing in crossings] == [True, False, False, False]
    assert crossings[0].title == "From 1.8 M requests a month on, shared costs less than function"
