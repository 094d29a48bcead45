"""Prometheus' text format, version 0.0.4. Pure.

Source: https://prometheus.io/docs/instrumenting/exposition_formats, "Text-based format".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

from fourfold.control.metrics.catalog import Metric

_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
_HELP_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n"})

Sample = tuple[str, float]
"""Labels as `labels` writes them, and the value."""


@lru_cache(maxsize=10_000)
def labels(names: tuple[str, ...], values: tuple[str, ...]) -> str:
    """`{app="shop",service="web"}`; empty for none."""
    if not names:
        return ""
    pairs = (f'{name}="{value.translate(_ESCAPES)}"' for name, value in zip(names, values, strict=True))
    return "{" + ",".join(pairs) + "}"


def family(metric: Metric, samples: Iterable[Sample]) -> Iterator[str]:
    """Lines of a counter or gauge; none when it has no samples."""
    name = metric.name
    lines = [f"{name}{written} {_number(value)}" for written, value in samples]
    if lines:
        yield from (*_head(metric), *lines)


def histogram(metric: Metric, series: Iterable[tuple[str, Sequence[float]]]) -> Iterator[str]:
    """Of each series its labels, and `[sum, count of bucket, count of bucket, …, count beyond]`."""
    lines: list[str] = []
    for written, counts in series:
        before = f"{written[:-1]}," if written else "{"
        total = 0.0
        for bound, count in zip((*metric.buckets, None), counts[1:], strict=True):
            total += count
            le = "+Inf" if bound is None else _number(bound)
            lines.append(f'{metric.name}_bucket{before}le="{le}"}} {_number(total)}')
        lines.append(f"{metric.name}_sum{written} {_number(counts[0])}")
        lines.append(f"{metric.name}_count{written} {_number(total)}")
    if lines:
        yield from (*_head(metric), *lines)


def _head(metric: Metric) -> tuple[str, str]:
    return (
        f"# HELP {metric.name} {metric.help.translate(_HELP_ESCAPES)}",
        f"# TYPE {metric.name} {metric.kind}",
    )


def _number(value: float) -> str:
    """Whole numbers without a point: counts of bytes stay exact."""
    if type(value) is int:
        return str(value)
    value = float(value)
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
