from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fourfold.spec.units import (
    MAX_BYTES,
    MAX_SECONDS,
    format_duration,
    format_rate,
    format_size,
    parse_duration,
    parse_rate,
    parse_size,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *[("1m30s", 90.0), ("200ms", 0.2), ("2h", 7200.0), ("1.5h", 5400.0), ("1d", 86400.0), ("0s", 0.0)],
        *[(30, 30.0), (0.5, 0.5), ("30", 30.0), (" 5s ", 5.0), ("1h2m3s4ms", 3723.004)],
    ],
)
def test_durations(text: object, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds, rel=1e-12)


@pytest.mark.parametrize(
    "text",
    [
        *["", "s", "-1s", "1s ago", "1 s", "1S", "١s", "1e3s", "1..5s", "5 parsecs", "11y"],
        *[None, True, [], {}, -1, float("nan"), float("inf"), 10**30, MAX_SECONDS + 1],
    ],
)
def test_no_durations(text: object) -> None:
    with pytest.raises(ValueError, match=r"^expected .{1,160}$"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        *[("256Mi", 2**28), ("256MiB", 2**28), ("1GB", 10**9), ("1G", 10**9), ("1.5Ki", 1536), ("64k", 64_000)],
        *[(4096, 4096), ("4096", 4096), ("4096B", 4096), ("1 GB", 10**9), ("1024Pi", 2**60), (1024.0, 1024)],
    ],
)
def test_sizes(text: object, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "Mi", "256m", "256mb", "-1", "1/2", "1.5", 1.5, "1025Pi", None, False, [1], float("nan"), "1_000"]
)
def test_no_sizes(text: object) -> None:
    with pytest.raises(ValueError, match=r"^expected .{1,160}$"):
        parse_size(text)


@pytest.mark.parametrize(("text", "rate"), [("50MB/s", 50_000_000), ("50MB", 50_000_000), ("1Mi/s", 2**20), (7, 7)])
def test_rates(text: object, rate: int) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["50MB/h", "/s", "MB/s", None, True, -1])
def test_no_rates(text: object) -> None:
    with pytest.raises(ValueError, match=r"^expected a rate such as 50MB/s"):
        parse_rate(text)


@settings(deadline=None)
@given(st.floats(0, MAX_SECONDS))
def test_a_duration_reads_back(seconds: float) -> None:
    seconds = parse_duration(seconds)
    assert parse_duration(format_duration(seconds)) == seconds


@settings(deadline=None)
@given(st.integers(0, MAX_BYTES))
def test_a_size_reads_back(size: int) -> None:
    assert parse_size(format_size(size)) == size
    assert parse_rate(format_rate(size)) == size


@settings(deadline=None)
@given(st.one_of(st.text(), st.integers(), st.floats(), st.booleans(), st.none(), st.lists(st.integers())))
def test_anything_is_a_number_or_told_so(value: object) -> None:
    for parse in (parse_duration, parse_size, parse_rate):
        try:
            assert parse(value) >= 0
        except ValueError as error:
            assert str(error).startswith("expected ")


@pytest.mark.parametrize("parse", [parse_duration, parse_size, parse_rate])
def test_thousands_of_digits_are_told_shortly(parse: Callable[[object], float]) -> None:
    for value in (10**5000, "9" * 5000, "9" * 5000 + "s"):
        with pytest.raises(ValueError, match=r"^expected .{1,160}$"):
            parse(value)
