"""Whatever a comparison says, there is a page, and it is whole."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fourfold.cost.comparison import PATTERNS, BreakEven, Comparison, Costs, Facts, Latency, PatternResult, Range
from tests.cli.report.samples import COMPARISON
from tests.cli.report.test_page import read

some = st.one_of(st.just(0.0), st.floats(1e-9, 1e12))
maybe = st.none() | some
whole = st.none() | st.integers(-(2**40), 2**50)
words = st.text(max_size=30)
fields = ("start_seconds", "restart_seconds", "latency_seconds.p99", "idle_memory_bytes", "nonsense")
pairs = st.lists(st.tuples(some, some), max_size=8).map(lambda found: tuple(sorted(found)))
shares = st.lists(st.tuples(st.floats(0, 1), some), max_size=8).map(lambda found: tuple(sorted(found)))


@st.composite
def results(draw: st.DrawFn) -> tuple[PatternResult, ...]:
    chosen = draw(st.lists(st.sampled_from(PATTERNS), unique=True))
    return tuple(
        draw(
            st.builds(
                PatternResult,
                pattern=st.just(pattern),
                reason=st.none() | words,
                start_seconds=maybe,
                cold_start_seconds=maybe,
                requests_per_second=maybe,
                monthly_cost=maybe,
                own_hardware_monthly_cost=maybe,
                idle_memory_bytes=whole,
                next_instance_memory_bytes=whole,
                requests=st.integers(0, 10),
                latency_seconds=st.none() | st.builds(Latency, p50=some, p95=some, p99=some, curve=shares),
                facts=st.none() | st.builds(Facts, kernel=st.none() | words, files_written=st.lists(words).map(tuple)),
                costs=st.none() | st.builds(Costs, place=words, points=pairs),
                spread=st.dictionaries(st.sampled_from(fields), st.builds(Range, low=some, high=some)),
                too_noisy=st.lists(st.sampled_from(fields)).map(tuple),
                notes=st.lists(words).map(tuple),
            )
        )
        for pattern in chosen
    )


crossings = st.builds(
    BreakEven, between=st.tuples(st.sampled_from(PATTERNS), st.sampled_from(PATTERNS)), requests_per_month=some
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(results(), st.lists(crossings, max_size=5), maybe, words)
def test_anything(
    patterns: tuple[PatternResult, ...], points: list[BreakEven], traffic: float | None, text: str
) -> None:
    changes = {"patterns": patterns, "break_even": tuple(points), "requests_per_month": traffic, "service": text}
    comparison: Comparison = COMPARISON.model_copy(update=changes)
    reader = read(comparison)
    assert "nan" not in {
        part for tag, found in reader.tags for part in (found.get("d"), found.get("points"), found.get("x"))
    }
