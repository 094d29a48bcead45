"""Values of facts as a sentence has them."""

from __future__ import annotations

from typing import Literal

from fourfold.cost.advice.model import Value
from fourfold.spec.units import parse_duration, parse_size

Unit = Literal["yes-no", "choice", "share", "ratio", "seconds", "bytes", "dollars", "number"]


def shown(value: Value, unit: Unit) -> str:
    """`0.82` -> `82 %`, `12582912` -> `12 MiB`, `0.41` seconds -> `0.41 s`, `3.24` -> `3.2 times`."""
    if unit == "yes-no" or isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    return {
        "share": _share,
        "ratio": lambda number: f"{_digits(number)} times",
        "seconds": _seconds,
        "bytes": _bytes,
        "dollars": dollars,
    }.get(unit, _count)(value)


def parsed(text: str, unit: Unit) -> float:
    """`50%`, `1s`, `256Mi`, `3`: a bound in a rule. Raises ValueError."""
    text = text.strip()
    if unit == "share" and text.endswith("%"):
        return float(text[:-1]) / 100
    if unit == "seconds":
        return parse_duration(text)
    if unit == "bytes":
        return float(parse_size(text))
    return float(text.removeprefix("$"))


def dollars(amount: float) -> str:
    """`1234.5` -> `$1,234`; cents below a hundred, and as many places as it takes to see it."""
    if amount >= 100:
        return f"${amount:,.0f}"
    return f"${amount:.2f}" if amount >= 0.005 or amount == 0 else "less than a cent"


def _share(number: float) -> str:
    return f"{number:.0%}".replace("%", " %") if number >= 0.01 or number == 0 else f"{number * 100:.1g} %"


def _digits(number: float) -> str:
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"


def _seconds(number: float) -> str:
    if number < 0.1:
        return f"{number * 1000:.0f} ms" if number >= 0.001 else f"{number * 1000:.1g} ms"
    if number < 10:
        return f"{number:.2g} s"
    return f"{number:.0f} s" if number < 120 else f"{number / 60:.0f} min"


def _bytes(number: float) -> str:
    if number == 0:
        return "nothing"
    for unit in ("B", "KiB", "MiB"):
        if abs(number) < 1024:
            return f"{number:.0f} {unit}"
        number /= 1024
    return f"{number:.1f} GiB"


def _count(number: float) -> str:
    return f"{number:,.0f}" if number >= 10 or number == int(number) else f"{number:.2g}"
