"""Counters that go on where HAProxy's start again: every worker counts from 0."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from fourfold.gateway.model import RouteStats


class Counters:
    """Adds up readings over workers. What a worker counts after its last reading is not known to anybody."""

    def __init__(self) -> None:
        self._worker: tuple[str, str] | None = None
        self._before: dict[str, RouteStats] = {}
        self._last: Mapping[str, RouteStats] = {}

    def read(self, worker: tuple[str, str], reading: Mapping[str, RouteStats]) -> list[RouteStats]:
        """The totals after this reading. A backend that is gone is forgotten: a new one of its name starts at 0."""
        if worker != self._worker:
            self._before = {stats.backend: stats for stats in self.totals()}
            self._worker = worker
        self._last = reading
        self._before = {name: stats for name, stats in self._before.items() if name in reading}
        return self.totals()

    def totals(self) -> list[RouteStats]:
        return [self._total(stats) for stats in self._last.values()]

    def _total(self, stats: RouteStats) -> RouteStats:
        before = self._before.get(stats.backend)
        if before is None:
            return stats
        return replace(
            stats,
            requests=before.requests + stats.requests,
            errors_5xx=before.errors_5xx + stats.errors_5xx,
            errors_4xx=before.errors_4xx + stats.errors_4xx,
            bytes_in=before.bytes_in + stats.bytes_in,
            bytes_out=before.bytes_out + stats.bytes_out,
            response_seconds=stats.response_seconds if stats.requests else before.response_seconds,
        )
