"""Hours of services as text: what `cost --usage FILE` reads and `cost --export FILE` writes."""

from __future__ import annotations

from dataclasses import dataclass

from fourfold.cost.comparison import Pattern
from fourfold.cost.model import Traffic


@dataclass(frozen=True)
class ServiceUsage:
    service: str
    pattern: Pattern | None
    """What it ran under; None: elsewhere, or nobody said."""
    traffic: Traffic


def parse_usage(text: str, name: str) -> list[ServiceUsage]:
    """CSV with a header line, or JSON: a list of objects with the same keys. SpecError with all that is wrong.

    `hour` (RFC 3339, or epoch seconds), `requests`; optional: `service`, `pattern`, `cpu_seconds`, `memory_bytes`,
    `response_seconds`, `instances`.
    """
    raise NotImplementedError


def to_csv(usages: list[ServiceUsage]) -> str:
    raise NotImplementedError
