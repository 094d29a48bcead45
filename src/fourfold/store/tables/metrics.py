"""Counters of `GET /metrics`, so that they go on over restarts, and up to where they have counted."""

from __future__ import annotations

import json
from collections.abc import Iterable

from fourfold.store.db import Database
from fourfold.store.model import MetricCount
from fourfold.store.tables.meta import Meta
from fourfold.store.tables.rows import Table

TABLE = Table("metric_counts", MetricCount, key=("metric", "labels"))
PLACE = "metrics.place"
"""Name in `meta`."""


class MetricCounts:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._meta = Meta(database)

    def all(self) -> list[MetricCount]:
        return TABLE.select(self._database)

    def place(self) -> str:
        """Up to where they have counted, as whoever counts wrote it; empty before the first time."""
        return self._meta.get(PLACE) or ""

    def store(self, changed: Iterable[MetricCount], gone: Iterable[tuple[str, tuple[str, ...]]], place: str) -> None:
        """In one transaction, so that nothing is counted twice."""
        with self._database.transaction():
            for metric, labels in gone:
                TABLE.remove(self._database, metric, json.dumps(labels))
            for row in changed:
                TABLE.put(self._database, row)
            self._meta.put(PLACE, place)
