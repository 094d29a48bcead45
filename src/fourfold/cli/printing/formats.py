"""Numbers and times as people read them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

LONGEST = 240
"""Characters of a line that is quoted."""


def count(number: int, what: str) -> str:
    """`1 service`, `2 services`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def size(count: int | None) -> str:
    """`31457280` -> `30 MiB`."""
    if count is None:
        return "-"
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if value >= 10 or unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def duration(value: float | None) -> str:
    """`0.0021` -> `2.1 ms`, `4.52` -> `4.5 s`."""
    if not value or value >= 1:
        return "0 s" if value == 0 else seconds(value)
    return f"{value * 1000:.0f} ms" if value >= 0.01 else f"{value * 1000:.2g} ms"


def seconds(value: float | None) -> str:
    """`0.41` -> `0.41 s`, `90` -> `1 min 30 s`."""
    if value is None:
        return "-"
    if value < 10:
        return f"{value:.2g} s" if value < 1 else f"{value:.1f} s"
    if value < 60:
        return f"{value:.0f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def ago(text: str, now: datetime) -> str:
    """`2026-11-22T08:00:00Z` -> `3 min ago`."""
    passed = (now - moment(text)).total_seconds()
    for limit, unit, name in ((60, 1, "s"), (3600, 60, "min"), (86400, 3600, "h"), (float("inf"), 86400, "d")):
        if passed < limit:
            return f"{max(0, int(passed // unit))} {name} ago"
    return text


def clock(text: str, now: datetime) -> str:
    """The local time of an RFC 3339 time; with its date when that is not today's."""
    local = moment(text).astimezone()
    return local.strftime("%H:%M:%S" if local.date() == now.astimezone().date() else "%Y-%m-%d %H:%M:%S")


def utc_now() -> datetime:
    return datetime.now(UTC)


def quoted(lines: Iterable[str]) -> list[str]:
    """Of a log, each on one line of a screen or a few: `fourfold logs` and JSON have all of it."""
    return [f"  | {text}" if len(text) <= LONGEST else f"  | {text[:LONGEST]}…" for text in lines]


def table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]], right: frozenset[str] = frozenset()) -> list[str]:
    """Columns two spaces apart, as wide as they need; those named in `right` are aligned to the right."""
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return [
        "  ".join(
            text.rjust(width) if name in right else text.ljust(width)
            for name, text, width in zip(header, line, widths, strict=True)
        ).rstrip()
        for line in lines
    ]
