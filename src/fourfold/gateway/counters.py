"""Counters that go on where HAProxy's start again: every worker counts from 0, and every daemon reads them anew."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from fourfold.gateway.model import RouteStats
from fourfold.gateway.served import Served, Worker

Key = tuple[str, str]
"""(service, route)."""


class Counters:
    """Adds up readings over workers. What a worker counts after its last reading is not known to anybody."""

    def __init__(self, stored: str = "") -> None:
        """`stored`: what an earlier one's `text` was."""
        found: dict[str, Any] = json.loads(stored) if stored else {}
        self._worker: Worker | None = tuple(found["worker"]) if found.get("worker") else None
        self._before = _keyed(RouteStats(**each) for each in found.get("before", ()))
        self._last = _keyed(RouteStats(**each) for each in found.get("last", ()))
        self.fingerprint: str = found.get("fingerprint", "")
        """Of the configuration in use."""
        self.routes: Mapping[str, Key] = {name: tuple(key) for name, key in found.get("routes", {}).items()}
        """HAProxy's backend -> what it counts there."""
        self.served = Served(found.get("served"))
        """By each instance."""

    def read(self, worker: Worker, reading: Iterable[RouteStats]) -> list[RouteStats]:
        """The totals after this reading. A route that is gone is forgotten: a new one like it starts at 0."""
        if worker != self._worker:
            self._before = _keyed(self.totals())
            self._worker = worker
        self._last = _keyed(reading)
        self._before = {key: stats for key, stats in self._before.items() if key in self._last}
        return self.totals()

    def serves(self, fingerprint: str, routes: Mapping[str, Key]) -> None:
        """The configuration that HAProxy has from now on."""
        self.fingerprint, self.routes = fingerprint, routes

    def cleared(self) -> Counters:
        """When nothing is served any more: what instances that are gone had answered is still known."""
        left = Counters()
        left.served = self.served
        left.served.read(("", ""), ())
        return left

    def totals(self) -> list[RouteStats]:
        return [self._total(stats) for stats in self._last.values()]

    def text(self) -> str:
        """All of it, to be stored."""
        kept = {"before": self._before, "last": self._last}
        lists = {name: [vars(stats) for stats in each.values()] for name, each in kept.items()}
        known = {"worker": self._worker, "fingerprint": self.fingerprint, "routes": dict(self.routes)}
        return json.dumps(known | lists | {"served": self.served.stored()})

    def _total(self, stats: RouteStats) -> RouteStats:
        before = self._before.get((stats.service, stats.route))
        if before is None:
            return stats
        return replace(
            stats,
            requests=before.requests + stats.requests,
            errors_5xx=before.errors_5xx + stats.errors_5xx,
            errors_4xx=before.errors_4xx + stats.errors_4xx,
            bytes_in=before.bytes_in + stats.bytes_in,
            bytes_out=before.bytes_out + stats.bytes_out,
            refused=before.refused + stats.refused,
            response_seconds=stats.response_seconds if stats.requests else before.response_seconds,
        )


def stored_counters(text: str) -> Counters:
    """From what another one's `text` was; from 0 when another version of Fourfold wrote it."""
    try:
        return Counters(text)
    except (ValueError, TypeError, LookupError):
        return Counters()


def _keyed(stats: Iterable[RouteStats]) -> dict[Key, RouteStats]:
    return {(each.service, each.route): each for each in stats}
