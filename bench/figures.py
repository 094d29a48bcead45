"""Figures and their ratios, as a table for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median


def table(title: str, unit: str, rounds: Mapping[str, Sequence[float]], ours: str = "fourfold") -> str:
    """Median, least and most of each contender, and ours divided by each of the others'; `ours` empty: all are ours."""
    count, width = len(next(iter(rounds.values()))), max(14, *map(len, rounds))
    lines = [f"{title} ({unit}; median of {count}, interleaved)"]
    for name, values in rounds.items():
        ratio = "" if name == ours or not ours else f"   ours / {name}: {median(rounds[ours]) / median(values):.2f}"
        lines.append(f"  {name:<{width}} {median(values):>10.3f}   ({min(values):.3f} to {max(values):.3f}){ratio}")
    return "\n".join(lines)


def verdict(what: str, value: float, limit: float, at_least: bool = False) -> bool:
    """Print whether a promise holds; True if it does."""
    holds = value >= limit if at_least else value <= limit
    sign = "at least" if at_least else "at most"
    print(f"  {'ok    ' if holds else 'MISSED'}  {what}: {value:.3f} ({sign} {limit:g})")
    return holds
