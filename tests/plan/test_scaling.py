"""How many instances a load asks for: traces of requests, tables of single decisions, and what always holds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourfold.plan.scaling import Bounds, Load, Sample, decide

TRACES = sorted((Path(__file__).parent / "traces").glob("*.json"))
RPS = Bounds(1, 10, {"rps": 50}, 0, 60)


@dataclass
class Service:
    """Its instances take `start` seconds to come up, and `capacity` cores at most."""

    bounds: Bounds
    interval: float
    start: float = 5.0
    capacity: float = float("inf")
    count: int = 1
    counts: list[int] = field(default_factory=list)

    def run(self, loads: Sequence[float]) -> list[int]:
        """How many there are to be after each interval with such a load: so many requests, or so many cores."""
        (metric,) = self.bounds.targets
        since = [-self.start] * self.count
        samples: list[Sample] = []
        for number, load in enumerate(loads, 1):
            now = number * self.interval
            ready = sum(at + self.start < now for at in since)
            rps = Load(load / self.interval, 1 / self.interval)
            seen = rps if metric == "rps" else Load(min(load, ready * self.capacity))
            samples.append(Sample(now, ready, {metric: seen}, len(since) - ready))
            self.count = decide(self.bounds, samples, self.count, now).count
            since = since[: self.count] + [now] * (self.count - len(since))
            self.counts.append(self.count)
        return self.counts


def changes(counts: list[int], first: int) -> int:
    return sum(before != after for before, after in zip([first, *counts], counts, strict=False))


@pytest.mark.parametrize("file", TRACES, ids=lambda file: file.stem)
def test_traces(file: Path) -> None:
    trace: dict[str, Any] = json.loads(file.read_text())
    expected, bounds = trace["expect"], Bounds(**trace["bounds"])
    service = Service(bounds, trace["interval"], trace.get("start", 5.0), trace.get("capacity", float("inf")))
    counts = service.run(trace["loads"])
    for interval, (least, most) in expected["counts"].items():
        assert least <= counts[int(interval)] <= most, (interval, counts)
    least, most = expected["changes"]
    assert least <= changes(counts, 1) <= most, counts
    if expected.get("rises"):
        assert counts == sorted(counts)
    for begins, within in expected.get("within", {}).items():
        assert counts[int(begins) - 1] < counts[int(begins) - 1 + within], "a step is followed that soon"


def rps(total: float, at: float = 100.0, ready: int = 2, seconds: float = 5.0) -> Sample:
    return Sample(at, ready, {"rps": Load(total, 1 / seconds)})


def steady(sample: Sample, seconds: float = 60.0) -> list[Sample]:
    """For so long."""
    times = [sample.at - 5.0 * number for number in range(int(seconds / 5), 0, -1)]
    return [*(Sample(at, sample.ready, sample.loads, sample.fresh) for at in times), sample]


def cpu(total: float, ready: int = 2, fresh: int = 0) -> Sample:
    return Sample(100.0, ready, {"cpu": Load(total)}, fresh)


CPU = Bounds(1, 10, {"cpu": 0.5}, 0, 60)
BOTH = Bounds(1, 10, {"rps": 50, "cpu": 0.5}, 0, 60)
FLIGHT = Bounds(1, 10, {"concurrency": 4}, 0, 60)
DECISIONS: dict[str, tuple[Bounds, list[Sample], int, int, str]] = {
    "more": (RPS, [rps(190)], 2, 4, "190 requests per second, 50 for each instance"),
    "all digits of a number below a hundred": (RPS, [rps(99.7)], 2, 2, "100 requests per second"),
    "within the tolerance": (RPS, [rps(109)], 2, 2, "109 requests per second"),
    "at most twice as many, or four more": (RPS, [rps(499)], 2, 6, "499 requests per second"),
    "max": (RPS, [rps(900)], 8, 10, "900 requests per second"),
    "at max": (RPS, [rps(900)], 10, 10, "900 requests per second, 50 for each instance; max is 10"),
    "outside of the bounds": (RPS, [], 12, 10, "min is 1, max is 10"),
    "fewer": (RPS, steady(rps(70, ready=5)), 5, 3, "at most 70 requests per second in the last 1 min"),
    "half of them at a time": (RPS, steady(rps(5, ready=9)), 9, 5, "at most"),
    "not before the window is seen": (RPS, steady(rps(70, ready=5), 55), 5, 5, "70 requests per second"),
    "not while it was busier": (RPS, [rps(240, 45.0, 5), *steady(rps(70, ready=5))], 5, 5, "70 requests"),
    "none is ready": (RPS, steady(rps(0, ready=0)), 5, 5, "no instance is ready"),
    "fewer are ready than are needed": (RPS, steady(rps(145, ready=3)), 5, 5, "145 requests"),
    "nothing is known": (RPS, [], 3, 3, "nothing was measured"),
    "nothing is known of now": (RPS, [rps(500, at=95.0)], 3, 3, "nothing was measured"),
    "the gateway did not tell": (RPS, [Sample(100.0, 2)], 3, 3, "not known: rps"),
    "cores": (CPU, [cpu(1.7)], 2, 4, "1.7 cores in use, 0.5 for each instance"),
    "who has just started is idle when there are to be more": (CPU, [cpu(1.7, fresh=2)], 4, 4, "1.7 cores"),
    "and busy when there are to be fewer": (CPU, steady(cpu(0.2, 4, fresh=3)), 4, 4, "0.2 cores"),
    "all are warm": (CPU, steady(cpu(0.2, 4)), 4, 2, "at most 0.2 cores in use in the last 1 min"),
    "the one that asks for most": (
        BOTH,
        [Sample(100.0, 2, {"rps": Load(70, 0.2), "cpu": Load(2.0)})],
        2,
        4,
        "2 cores in use, 0.5 for each instance",
    ),
    "one of two is enough for more": (BOTH, [rps(190)], 2, 4, "190 requests per second"),
    "but not for fewer": (BOTH, steady(rps(5, ready=4)), 4, 4, "5 requests per second"),
    "in flight": (FLIGHT, [Sample(100.0, 2, {"concurrency": Load(13.0, 0.2)})], 2, 4, "13 requests in flight, 4 for"),
    "throughout a window": (
        Bounds(1, 10, {"rps": 50}, 30, 60),
        steady(rps(190)),
        2,
        4,
        "190 requests per second throughout 30 s, 50 for each instance",
    ),
}


@pytest.mark.parametrize("name", DECISIONS)
def test_decisions(name: str) -> None:
    bounds, samples, current, count, reason = DECISIONS[name]
    decided = decide(bounds, samples, current, 100.0)
    assert (decided.count, decided.reason[: len(reason)]) == (count, reason)


def test_what_the_load_asks_for_is_told_where_something_stands_between() -> None:
    assert decide(RPS, [rps(900)], 10, 100.0).asked == 18
    assert decide(RPS, [rps(499)], 2, 100.0).asked == 10
    assert decide(RPS, [rps(190)], 2, 100.0).asked is None


loads = st.lists(st.integers(0, 5000), min_size=1, max_size=80)
bounds = st.builds(
    lambda low, more, target, up, down: Bounds(low, low + more, {"rps": target}, up, down),
    st.integers(1, 5),
    st.integers(0, 20),
    st.sampled_from([0.5, 10, 50]),
    st.sampled_from([0, 15]),
    st.sampled_from([0, 5, 30, 60]),
)


@given(bounds, loads, st.sampled_from([1.0, 5.0, 30.0]))
def test_always_within_the_bounds_and_in_steps(bounds: Bounds, requests: list[int], start: float) -> None:
    counts = Service(bounds, 5.0, start, count=bounds.min).run(requests)
    for before, after in zip([bounds.min, *counts], counts, strict=False):
        assert bounds.min <= after <= bounds.max
        assert before // 2 <= after <= max(2 * before, before + 4)


@given(bounds, st.integers(0, 5000), st.integers(1, 25))
def test_a_steady_load_is_left_at_rest(bounds: Bounds, load: int, first: int) -> None:
    """Up or down, but not both; and then nothing more."""
    first = min(max(first, bounds.min), bounds.max)
    counts = Service(bounds, 5.0, count=first).run([load] * 60)
    ways = {after > before for before, after in zip([first, *counts], counts, strict=False) if after != before}
    assert len(ways) <= 1
    assert len(set(counts[-20:])) == 1


@given(bounds, loads)
def test_none_is_taken_away_sooner_than_the_window_allows(bounds: Bounds, requests: list[int]) -> None:
    counts = Service(bounds, 5.0, count=bounds.max).run(requests)
    window = int(bounds.down / 5)
    for number in range(1, len(counts)):
        if counts[number] < counts[number - 1]:
            assert number >= window
