"""A short random life of an app; `bench/soak.py` has the long one. FOURFOLD_TEST_SEED repeats one."""

from __future__ import annotations

import os
import random

import pytest

from tests.chaos.life import live
from tests.e2e.home import Home

STEPS = 7


@pytest.mark.timeout(1500)
@pytest.mark.patterns("process")
def test_a_random_life(home: Home) -> None:
    seed = int(os.environ.get("FOURFOLD_TEST_SEED") or random.randrange(1_000_000))
    print(f"FOURFOLD_TEST_SEED={seed}")
    print(live(home, seed, lambda taken: taken < STEPS))
