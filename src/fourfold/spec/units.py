"""Durations, sizes and rates as people write them. Numbers pass through, so dumped values can be read again."""

from __future__ import annotations

import math
import re

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"": 1, "B": 1} | {
    prefix + suffix: base**power
    for power, letter in enumerate("KMGTP", start=1)
    for base, infix in ((1000, ""), (1024, "i"))
    for prefix in ({letter.lower() + infix, letter + infix} if letter == "K" else {letter + infix})
    for suffix in ("", "B")
}
_NUMBER = r"\d{1,19}(?:\.\d{1,9})?"
_DURATION = re.compile(rf"(?:{_NUMBER}(?:ms|s|m|h|d))+")
_DURATION_PART = re.compile(rf"({_NUMBER})(ms|s|m|h|d)")
_SIZE = re.compile(rf"({_NUMBER})\s?([A-Za-z]*)")
MAX_SECONDS = 10 * 365 * 86400.0
"""Ten years: beyond it a duration is a mistake, and sums of a few of them stay harmless."""
MAX_BYTES = 2**60


def parse_duration(value: object) -> float:
    """`1m30s`, `200ms`, `1.5h` or a number of seconds -> seconds, to the nanosecond.

    Raises ValueError in plain words.
    """
    expected = f"expected a duration such as 30s, 200ms or 1m30s, got {shown(value)}"
    if isinstance(value, str):
        text = value.strip()
        if re.fullmatch(_NUMBER, text, re.ASCII):
            seconds = float(text)
        elif _DURATION.fullmatch(text) and text.isascii():
            seconds = sum(float(count) * _SECONDS[unit] for count, unit in _DURATION_PART.findall(text))
        else:
            raise ValueError(expected)
    else:
        seconds = float(_number(value, expected))
    if seconds > MAX_SECONDS:
        raise ValueError(f"expected at most ten years, got {shown(value)}")
    return round(seconds, 9)


def parse_size(value: object) -> int:
    """`256Mi` (1024-based), `1GB` or `1G` (1000-based) or a number of bytes -> bytes. Raises ValueError."""
    expected = f"expected a size such as 256Mi or 1GB, got {shown(value)}"
    if isinstance(value, str):
        match = _SIZE.fullmatch(value.strip())
        if match is None or not value.isascii() or match[2] not in _BYTES:
            raise ValueError(expected)
        size = float(match[1]) * _BYTES[match[2]] if "." in match[1] else int(match[1]) * _BYTES[match[2]]
    else:
        size = _number(value, expected)
    if size != int(size):
        raise ValueError(f"expected a whole number of bytes, got {shown(value)}")
    if size > MAX_BYTES:
        raise ValueError(f"expected at most 1024Pi, got {shown(value)}")
    return int(size)


def parse_rate(value: object) -> int:
    """`50MB/s` or a number -> bytes per second. Raises ValueError."""
    text = value.strip().removesuffix("/s").rstrip() if isinstance(value, str) else value
    try:
        return parse_size(text)
    except ValueError as error:
        if "such as" not in str(error):
            raise
        raise ValueError(f"expected a rate such as 50MB/s, got {shown(value)}") from None


def format_duration(seconds: float) -> str:
    """The shortest text that `parse_duration` reads back as the same number: `90.0` -> `1m30s`, `0.2` -> `200ms`."""
    if seconds != int(seconds):
        millis = seconds * 1000
        text = f"{int(millis)}ms"
        return text if parse_duration(text) == seconds else f"{seconds:.9f}".rstrip("0") + "s"
    left, text = int(seconds), ""
    for unit, length in (("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, length)
        text += f"{count}{unit}" if count else ""
    return text or "0s"


def format_size(size: int) -> str:
    """The shortest text that `parse_size` reads back as the same number: `268435456` -> `256Mi`, `10**9` -> `1GB`."""
    for letter, power in (("P", 5), ("T", 4), ("G", 3), ("M", 2), ("K", 1)):
        if size and size % 1024**power == 0:
            return f"{size // 1024**power}{letter}i"
        if size and size % 1000**power == 0:
            return f"{size // 1000**power}{letter}B"
    return str(size)


def format_rate(rate: int) -> str:
    """As `format_size`, per second."""
    return f"{format_size(rate)}/s"


def _number(value: object, expected: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(expected)
    if not 0 <= value < 2**63 or not math.isfinite(value):
        raise ValueError(expected)
    return value


def shown(value: object) -> str:
    """A value as it stands in a message: on one line and short, whatever was given."""
    if isinstance(value, dict):
        return "a map"
    if isinstance(value, list | tuple):
        return "a list"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and abs(value) >= 10**50:
        return "a huge number"  # printing thousands of digits is an error of its own in Python
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:57] + "…"
