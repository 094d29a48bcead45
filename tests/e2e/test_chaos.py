"""A short random life of an app, the same in each run: FOURFOLD_TEST_SEED chooses another, `bench/soak.py` has more."""

from __future__ import annotations

import os

import pytest

from tests.chaos.life import live
from tests.e2e.home import Home

STEPS = 7
SEED = 11
"""Deployments of several kinds, and most faults."""


@pytest.mark.timeout(1500)
@pytest.mark.patterns("process")
def test_a_random_life(home: Home) -> None:
    seed = int(os.environ.get("FOURFOLD_TEST_SEED") or SEED)
    print(f"FOURFOLD_TEST_SEED={seed}")
    print(live(home, seed, lambda taken: taken < STEPS))
