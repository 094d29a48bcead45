"""What stands out: the questions that somebody who decides asks, and who answers each of them best."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fourfold.cli.printing.money import dollars
from fourfold.cli.report import figures, words
from fourfold.cli.report.boundaries import BOUNDARIES, owned
from fourfold.cost.figures import BY_NAME, standings, value

if TYPE_CHECKING:
    from fourfold.cost.comparison import Comparison, Pattern, PatternResult


@dataclass(frozen=True)
class Finding:
    title: str
    patterns: tuple[Pattern, ...]
    """The best; several if they cannot be told apart; none if nobody is."""
    figure: str
    beside: str
    """How the live one does; where the best is live, the next one."""


def findings(comparison: Comparison) -> tuple[Finding, ...]:
    """Only what two patterns at least have a figure for."""
    results = figures.measured(comparison)
    asked = (
        _by_field("Costs least in the cloud", "monthly_cost", results, dollars, " a month"),
        _by_field("Starts fastest", "start_seconds", results, words.seconds),
        _by_field("Answers fastest", "latency_seconds.p99", results, words.seconds, " for 99 %"),
        _by_field(
            "Packs densest", "next_instance_memory_bytes", results, words.in_gib, f" in {words.unbroken('1 GiB')}"
        ),
        _most_isolated(results),
        _by_field("Ships an edit fastest", "deploy_seconds", results, words.seconds),
    )
    return tuple(finding for finding in asked if finding is not None)


def _by_field(
    title: str, field: str, results: Sequence[PatternResult], said: Callable[[float], str], after: str = ""
) -> Finding | None:
    known = BY_NAME[field]
    values = {result.pattern: found for result in results if (found := value(result, field)) is not None}
    best = {pattern for pattern, standing in standings(results, known).items() if standing == "best"}
    noisy = {result.pattern for result in results if figures.noisy(result, field)}
    return _finding(title, values, best - noisy, said, after, known.more_is_better, bool(noisy), results)


def _most_isolated(results: Sequence[PatternResult]) -> Finding | None:
    values = {result.pattern: float(own) for result in results if (own := owned(result.facts)) is not None}
    most = max(values.values(), default=0.0)
    best = {pattern for pattern, own in values.items() if own == most} if len(set(values.values())) > 1 else set()
    return _finding(
        "Shares least",
        values,
        best,
        lambda own: f"{own:.0f}",
        f" of {len(BOUNDARIES)} boundaries",
        True,
        False,
        results,
    )


def _finding(
    title: str,
    values: dict[Pattern, float],
    best: set[Pattern],
    said: Callable[[float], str],
    after: str,
    high: bool,
    noisy: bool,
    results: Sequence[PatternResult],
) -> Finding | None:
    if len(values) < 2:
        return None
    ranked = sorted(values, key=lambda pattern: values[pattern], reverse=high)
    figures = {pattern: words.unbroken(said(found)) for pattern, found in values.items()}
    if len(set(figures.values())) == 1:
        return Finding(title, (), "all alike", f"{figures[ranked[0]]}{after}")
    if not best:
        between = f"{figures[ranked[0]]} to {figures[ranked[-1]]}"
        return Finding(title, (), "too noisy to tell" if noisy else "too close to tell", between)
    first = tuple(pattern for pattern in ranked if pattern in best)
    figure = f"{figures[first[0]]}{after}"
    live = next((result.pattern for result in results if result.live), None)
    if live in figures and live not in best:
        return Finding(title, first, figure, f"{live}, live now: {figures[live]}")
    following = next((pattern for pattern in ranked if pattern not in best), None)
    return Finding(title, first, figure, f"then {following}: {figures[following]}" if following else "")
