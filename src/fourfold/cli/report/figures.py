"""The table of figures: which there are, in which order, which way is better, and how each is said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fourfold.cli.printing.money import dollars
from fourfold.cli.report import words
from fourfold.cost.figures import BY_NAME, Standing, standings, value

if TYPE_CHECKING:
    from fourfold.cost.comparison import Comparison, Pattern, PatternResult


@dataclass(frozen=True)
class Figure:
    field: str
    """Of a PatternResult; `latency_seconds.p50` for one inside."""
    title: str
    said: Callable[[float], str]
    meaning: str


@dataclass(frozen=True)
class Cell:
    pattern: Pattern
    text: str
    range: str | None
    """Of the rounds, where it differs from `text`."""
    standing: Standing | None
    noisy: bool


@dataclass(frozen=True)
class Row:
    figure: Figure
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Section:
    title: str
    rows: tuple[Row, ...]


def _whole(value: float) -> str:
    return f"{value:,.0f}"


SECTIONS: tuple[tuple[str, tuple[Figure, ...]], ...] = (
    (
        "Starting",
        (
            Figure("start_seconds", "Start", words.seconds, "until the first good answer, as instances usually start"),
            Figure("cold_start_seconds", "First start of a release", words.seconds, "nothing of it was there before"),
            Figure("restart_seconds", "Restart", words.seconds, "until the new one has all the traffic"),
        ),
    ),
    (
        "Answering",
        (
            Figure("latency_seconds.p50", "Latency, half of the requests", words.seconds, "p50, under the load above"),
            Figure("latency_seconds.p95", "Latency, 95 %", words.seconds, "p95"),
            Figure("latency_seconds.p99", "Latency, 99 %", words.seconds, "p99"),
            Figure("requests_per_second", "Most requests a second", words.number, "of one instance, asked for more"),
            Figure("cpu_seconds_per_1000_requests", "CPU for 1,000 requests", words.seconds, "of one core"),
            Figure("requests", "Requests made", _whole, "while latency was measured"),
            Figure("errors", "Errors", _whole, "no answer, 5xx or 429"),
        ),
    ),
    (
        "Memory",
        (
            Figure("idle_memory_bytes", "Idle", words.size, "all processes of it, before any request"),
            Figure("loaded_memory_bytes", "Under load", words.size, "at the end of a round"),
            Figure(
                "next_instance_memory_bytes", "One instance more", words.size, "beside the first: says how many fit"
            ),
        ),
    ),
    (
        "Shipping",
        (
            Figure("build_seconds", "Build", words.seconds, "everything but the shared base"),
            Figure("rebuild_seconds", "Build after an edit", words.seconds, "of one file"),
            Figure("artifact_bytes", "Artifact", words.size, "without the shared base"),
            Figure("base_bytes", "Shared base", words.size, "of which other services have no second copy"),
            Figure("deploy_seconds", "Deploy of an edit", words.seconds, "under load, from upload to the end"),
            Figure("requests_lost_in_deploy", "Requests lost in it", _whole, "of the load, while it was deployed"),
        ),
    ),
    (
        "Cost",
        (
            Figure("monthly_cost", "A month in the cloud", dollars, "at the service's traffic"),
            Figure("own_hardware_monthly_cost", "A month on own hardware", dollars, "at the service's traffic"),
        ),
    ),
)


def figure(field: str) -> Figure:
    return next(found for _, figures in SECTIONS for found in figures if found.field == field)


def noisy(result: PatternResult, field: str) -> bool:
    """Whether its rounds differ too much; `latency_seconds` stands for all of its percentiles."""
    return field in result.too_noisy or field.split(".")[0] in result.too_noisy


def sections(comparison: Comparison) -> tuple[Section, ...]:
    """Only rows in which somebody has a figure; columns are the patterns that were measured."""
    results = measured(comparison)
    made = [
        Section(
            title, tuple(row for figure in figures if (row := _row(_meant(figure, comparison), results)) is not None)
        )
        for title, figures in SECTIONS
    ]
    return tuple(section for section in made if section.rows)


def measured(comparison: Comparison) -> tuple[PatternResult, ...]:
    return tuple(result for result in comparison.patterns if result.available)


def _meant(figure: Figure, comparison: Comparison) -> Figure:
    """Costs are for a traffic: which."""
    requests = comparison.requests_per_month
    if not figure.field.endswith("monthly_cost") or requests is None:
        return figure
    return replace(figure, meaning=f"for {words.amount(requests)} requests")


def _row(figure: Figure, results: tuple[PatternResult, ...]) -> Row | None:
    values = [value(result, figure.field) for result in results]
    if all(found is None for found in values):
        return None
    known = BY_NAME.get(figure.field)
    ranked = standings(results, known) if known else {}
    cells = (
        Cell(
            result.pattern,
            words.NOTHING if found is None else figure.said(found),
            _range(figure, result),
            None if noisy(result, figure.field) else ranked.get(result.pattern),
            found is not None and noisy(result, figure.field),
        )
        for result, found in zip(results, values, strict=True)
    )
    return Row(figure, tuple(cells))


def _range(figure: Figure, result: PatternResult) -> str | None:
    spread = result.spread.get(figure.field)
    if spread is None or spread.rounds < 2:
        return None
    low, high = figure.said(spread.low), figure.said(spread.high)
    if low == high:
        return None
    number, _, unit = low.partition(" ")
    return f"{number if high.partition(' ')[2] == unit and ' ' not in unit else low}–{high}"
