"""Figures as the page says them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fourfold.cli.printing.money import dollars
from fourfold.cli.report import words


@pytest.mark.parametrize(
    ("said", "value", "text"),
    [
        (words.number, 0, "0"),
        (words.number, 0.0341, "0.034"),
        (words.number, 0.996, "1.0"),
        (words.number, 9.94, "9.9"),
        (words.number, 9.96, "10"),
        (words.number, 1234, "1,230"),
        (words.seconds, 0.00009, "0.090 ms"),
        (words.seconds, 0.0012, "1.2 ms"),
        (words.seconds, 0.9996, "1.0 s"),
        (words.seconds, 59.4, "59 s"),
        (words.seconds, 59.6, "1 min"),
        (words.seconds, 90, "1 min 30 s"),
        (words.seconds, 7260, "2 h 1 min"),
        (words.size, 0, "0 B"),
        (words.size, 1023, "1.0 KiB"),
        (words.size, 31457280, "30 MiB"),
        (words.size, 2**40, "1,020 GiB"),
        (words.amount, 12, "12"),
        (words.amount, 999.9, "1.0 k"),
        (words.amount, 1_300_000, "1.3 M"),
        (words.amount, 4e12, "4,000 G"),
        (lambda value: words.brief(words.seconds(value)), 0.001, "1 ms"),
        (lambda value: words.brief(words.seconds(value)), 0.0105, "10 ms"),
        (lambda value: words.brief(dollars(value)), 1, "$1"),
        (lambda value: words.brief(words.number(value)), 1.05, "1.1"),
    ],
)
def test_figures(said: Callable[[float], str], value: float, text: str) -> None:
    assert said(value) == text


def test_lists_and_counts() -> None:
    assert [words.listed(names) for names in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == [
        "",
        "a",
        "a and b",
        "a, b and c",
    ]
    assert (words.count(1, "round"), words.count(1200, "round")) == ("1 round", "1,200 rounds")
