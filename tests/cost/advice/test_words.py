"""Values of facts as a sentence has them."""

from __future__ import annotations

import pytest

from fourfold.cost.advice.words import Unit, shown


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (True, "yes-no", "yes"), (False, "number", "no"), ("worker", "choice", "worker"),
        (0.82, "share", "82 %"), (0.0, "share", "0 %"), (0.01, "share", "1 %"), (0.004, "share", "0.4 %"),
        (3.24, "ratio", "3.2 times"), (12.4, "ratio", "12 times"),
        (0.0004, "seconds", "0.4 ms"), (0.05, "seconds", "50 ms"), (0.1, "seconds", "0.1 s"), (10, "seconds", "10 s"),
        (119, "seconds", "119 s"), (120, "seconds", "2 min"), (6000, "seconds", "100 min"),
        (0, "dollars", "$0.00"), (0.004, "dollars", "less than a cent"), (0.005, "dollars", "$0.01"),
        (99.5, "dollars", "$99.50"), (100, "dollars", "$100"), (1234.5, "dollars", "$1,234"),
        (12 * 2**20, "bytes", "12 MiB"),
    ],
)  # fmt: skip
def test_shown(value: bool | float | str, unit: Unit, text: str) -> None:
    assert shown(value, unit) == text
