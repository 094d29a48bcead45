"""From rounds to a comparison: medians, ranges, and what is too noisy to tell."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourfold.cost.comparison import Comparison, Latency, Range
from fourfold.cost.rounds import Measured, Round
from fourfold.cost.summary import EMULATED, summary
from tests.cost.comparing import PROCESS, SUBJECT, VM, round_of

TIMES = st.floats(0.001, 1000)


def test_patterns_come_in_their_usual_order_with_medians_and_ranges() -> None:
    made = summary(SUBJECT, [VM, PROCESS])
    assert [each.pattern for each in made.patterns] == ["process", "vm"]
    process, vm = made.patterns
    assert (made.rounds, made.app, made.noise) == (3, "shop", None)
    assert (process.start_seconds, process.build_seconds, process.live) == (0.21, 1.0, True)
    assert process.spread["start_seconds"] == Range(low=0.2, high=0.22, rounds=3)
    assert process.latency_seconds == Latency(
        p50=0.002, p95=0.004, p99=0.006, curve=((0.5, 0.002), (0.95, 0.004), (0.99, 0.006))
    )
    assert (process.requests, process.errors, process.too_noisy, process.notes) == (600, 0, (), ())
    assert (vm.start_seconds, vm.idle_memory_bytes, vm.notes) == (4.5, 150_500_000, (EMULATED,))
    assert Comparison.model_validate_json(made.model_dump_json()) == made


def test_what_was_not_measured_is_null() -> None:
    why = "cannot run as a vm: QEMU is not installed"
    job, vm = summary(
        SUBJECT, [Measured("process", rounds=(Round(),)), Measured("vm", available=False, reason=why)]
    ).patterns
    assert job.start_seconds is None
    assert job.latency_seconds is None
    assert job.idle_memory_bytes is None
    assert job.spread == {}
    assert (vm.available, vm.reason, vm.notes, vm.requests) == (False, why, (), 0)


def test_rounds_that_differ_by_much_are_said_to() -> None:
    rounds = (round_of(1.0, p50=0.00001), round_of(3.0, p50=0.00009))
    (process,) = summary(SUBJECT, [Measured("process", rounds=rounds)]).patterns
    assert process.too_noisy == ("start_seconds", "restart_seconds")  # and not what differs by microseconds
    (process,) = summary(SUBJECT, [Measured("process", rounds=rounds[:1])]).patterns
    assert process.too_noisy == ()


@pytest.mark.parametrize(
    ("others", "start", "left_out", "noise"),
    [
        ([0.0, 0.1, 0.3], 2.0, 0, False),
        ([0.0, 0.1, 0.4], 1.5, 1, False),
        ([None, None, 0.4], 1.5, 1, False),
        ([0.0, 0.4, 0.4], 2.0, 0, True),
        ([0.4, 1.0, 0.8], 2.0, 0, True),
    ],
)
def test_rounds_that_others_disturbed(others: list[float | None], start: float, left_out: int, noise: bool) -> None:
    """Of two cores 0.3 are bearable. Two quiet rounds, and half of all, are enough to go by."""
    rounds = tuple(round_of(1.0 + number, other=other) for number, other in enumerate(others))
    made = summary(SUBJECT, [Measured("process", rounds=rounds)])
    assert made.patterns[0].start_seconds == start
    assert any(note.startswith(f"{left_out} of its 3 rounds") for note in made.patterns[0].notes) == bool(left_out)
    assert (made.noise is not None) == noise
    assert made.patterns[0].requests == 600  # what failed in a noisy round has failed


def test_noise_is_told_with_how_much_it_was() -> None:
    rounds = (round_of(1.0, other=1.2), round_of(1.0, other=0.8))
    assert summary(SUBJECT, [replace(PROCESS, rounds=rounds)]).noise == (
        "other programs took 1.0 of 2 cores in 2 of 2 rounds: compare again when this machine has less to do"
    )


def test_each_note_is_told_once() -> None:
    limit = "the load generator was the limit"
    rounds = tuple(replace(round_of(1.0), notes=(limit,)) for _ in range(3))
    assert summary(SUBJECT, [replace(PROCESS, notes=("first",), rounds=rounds)]).patterns[0].notes == ("first", limit)


@given(st.lists(TIMES, min_size=1, max_size=7))
def test_a_median_lies_in_its_range(times: list[float]) -> None:
    (process,) = summary(SUBJECT, [Measured("process", rounds=tuple(map(round_of, times)))]).patterns
    found = process.spread["start_seconds"]
    assert process.start_seconds is not None
    assert found.low <= process.start_seconds <= found.high
    assert (found.low, found.high, found.rounds) == (min(times), max(times), len(times))


NONE = Measured("function", available=False, reason="none")


@given(st.permutations([VM, PROCESS, NONE]))
def test_the_order_of_measuring_makes_no_difference(measured: list[Measured]) -> None:
    assert summary(SUBJECT, measured) == summary(SUBJECT, [PROCESS, VM, NONE])
