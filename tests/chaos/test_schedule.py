"""The same seed gives the same life, and in the long run there is everything in it."""

from __future__ import annotations

from itertools import islice

from tests.chaos.schedule import CHANGES, FAULTS, LEAST, MOST, STRATEGIES, steps


def test_a_seed_repeats_a_life() -> None:
    assert list(islice(steps(7), 50)) == list(islice(steps(7), 50))
    assert list(islice(steps(7), 50)) != list(islice(steps(8), 50))


def test_everything_happens() -> None:
    life = list(islice(steps(1), 500))
    assert {step.what for step in life} == set(CHANGES) and {step.fault for step in life} == set(FAULTS)
    assert {step.strategy for step in life if step.what == "deploy"} == set(STRATEGIES)
    assert {step.count for step in life} == set(range(LEAST, MOST + 1))
    assert "move" in {step.what for step in islice(steps(1, patterns=2), 500)}
