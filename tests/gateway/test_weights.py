"""Weights give the part that was asked for, whatever the counts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourfold.gateway.weights import MOST, weights


@pytest.mark.parametrize(
    ("old", "new", "percent", "expected"),
    [
        (1, 1, 50, (1, 1)),
        (1, 1, 25, (3, 1)),
        (4, 1, 20, (1, 1)),
        (2, 2, 90, (1, 9)),
        (4, 1, 0, (1, 0)),
        (4, 4, 100, (0, 1)),
        (0, 3, 5, (1, 1)),
        (3, 0, 5, (1, 1)),
        (1, 50, 1, (MOST, 1)),
        (1000, 1, 99, (1, MOST)),
    ],
)
def test_weights(old: int, new: int, percent: int, expected: tuple[int, int]) -> None:
    assert weights(old, new, percent) == expected


@given(st.integers(1, 50), st.integers(1, 50), st.integers(1, 99))
def test_the_part_is_near_and_no_more(old: int, new: int, percent: int) -> None:
    of_old, of_new = weights(old, new, percent)
    assert 1 <= of_old <= MOST and 1 <= of_new <= MOST
    part = 100 * new * of_new / (new * of_new + old * of_old)
    ratio = percent * old / ((100 - percent) * new)
    if 1 / MOST <= ratio <= MOST:
        assert percent * 0.98 - 0.01 <= part <= percent + 1e-6
