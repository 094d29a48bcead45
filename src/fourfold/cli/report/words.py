"""Figures as the page says them: two or three digits, with their unit."""

from __future__ import annotations

import math
import re

NOTHING = "–"
"""What was not measured."""
MINUTE = 60
MIB, GIB = 2**20, 2**30


def number(value: float) -> str:
    """`0.034`, `1.0`, `12`, `120`, `12,300`: two digits, three from 100 on, thousands as they are."""
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1000:
        return f"{float(f'{value:.3g}'):,.0f}"
    if size >= 9.95:
        return f"{value:.0f}"
    return f"{value:.1f}" if size >= 0.995 else f"{value:.{1 - math.floor(math.log10(size))}f}"


def brief(text: str) -> str:
    """For round figures, such as those at axes: `1.0 ms` -> `1 ms`, `$1.00` -> `$1`."""
    return re.sub(r"(\d)\.0+(?!\d)", r"\1", text)


def seconds(value: float) -> str:
    """`0.0012` -> `1.2 ms`; `1.44` -> `1.4 s`; `90` -> `1 min 30 s`."""
    if value < 0.9995:
        return f"{number(value * 1000)} ms"
    if value < 59.5:
        return f"{number(value)} s"
    minutes, rest = divmod(round(value), MINUTE)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, MINUTE)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def size(value: float) -> str:
    """Of bytes: `31457280` -> `30 MiB`. A difference may be below nought."""
    if value < 0:
        return f"−{size(-value)}"
    for unit in ("B", "KiB", "MiB"):
        if value < 999.5:
            return f"{number(value) if unit != 'B' else round(value)} {unit}"
        value /= 1024
    return f"{number(value)} GiB"


def in_gib(each: float) -> str:
    """How many whole ones of so many bytes go into one; what is smaller than a MiB is not measured that well."""
    return f"{GIB // each:,.0f}" if each >= MIB else "over 1,000"


def amount(value: float) -> str:
    """Of many: `950`, `12 k`, `1.3 M`, `4.0 G`."""
    for unit, bound in (("", 1), (" k", 1e3), (" M", 1e6)):
        if value < bound * 999.5:
            return f"{number(value / bound)}{unit}" if unit else f"{value:.0f}"
    return f"{number(value / 1e9)} G"


def count(value: int, what: str) -> str:
    return f"{value:,} {what}" if value == 1 else f"{value:,} {what}s"


def listed(names: tuple[str, ...] | list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def unbroken(text: str) -> str:
    """A figure stays on the line of its unit."""
    return text.replace(" ", "\N{NO-BREAK SPACE}")
