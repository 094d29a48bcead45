"""Recorded hours of a service, as cost and advice want them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fourfold.cost.functions import Taken
from fourfold.cost.model import Hour, Traffic
from fourfold.store.model import UsageHour
from fourfold.store.tables.usage import HOUR

LEAST_SECONDS = 60.0
"""Of an hour that is not over: less of it says nothing about the rest."""


def traffic(
    rows: Iterable[UsageHour], invocations: Mapping[int, Taken], begun: float, now: float, pattern: str | None = None
) -> Traffic:
    """From its first whole hour to its last that is over; where there is none, what is known of a part of one is taken
    for all of it.

    `invocations`: of the pattern function, by hour. `begun`: when the service came to be. `pattern`: only what it took
    under that one.
    """
    hours: dict[int, list[UsageHour]] = {}
    for row in rows:
        if pattern in (None, row.pattern):
            hours.setdefault(row.hour, []).append(row)
    taken = dict(invocations) if pattern in (None, "function") else {}
    known = {hour for hour in (*hours, *taken) if hour <= now}  # none that is still to come: the clock was set back
    if not known:
        return Traffic(())
    present = int(now // HOUR) * HOUR
    first, last = min(known), max(known)
    if last == present and first < present:
        last = present - HOUR
    if first < begun < first + HOUR <= last:
        first += HOUR
    found = (
        _hour(at, hours.get(at, []), taken.get(at, Taken()), _known(at, begun, now))
        for at in range(first, last + 1, HOUR)
    )
    return Traffic(tuple(found))


def runs(rows: Iterable[UsageHour], begun: float, now: float, pattern: str | None = None) -> Traffic:
    """Of a job, each request is a run: from the hour in which it came to be to the present one, as if that were over.

    It runs when it is told to, so that what it did in a part of an hour says nothing about the rest.
    """
    hours: dict[int, list[UsageHour]] = {}
    for row in rows:
        if pattern in (None, row.pattern):
            hours.setdefault(row.hour, []).append(row)
    if not hours:
        return Traffic(())
    first = min(int(begun // HOUR) * HOUR, *hours)
    return Traffic(tuple(_hour(at, hours.get(at, []), Taken(), HOUR) for at in range(first, int(now) + 1, HOUR)))


def _known(hour: int, begun: float, now: float) -> float:
    """Seconds of it of which anything is known."""
    start = begun if hour < begun < hour + HOUR else hour
    return min(float(hour + HOUR), now) - start


def _hour(at: int, rows: list[UsageHour], invocations: Taken, known: float) -> Hour:
    times = HOUR / max(known, LEAST_SECONDS)
    known = max(known, 1.0)
    requests = sum(row.requests for row in rows) + invocations.requests
    waited = sum(row.response_seconds for row in rows) + invocations.billed_ms / 1000
    return Hour(
        float(at),
        requests * times,
        cpu_seconds=sum(row.cpu_seconds for row in rows) * times,
        memory_bytes=sum(row.memory_byte_seconds for row in rows) / known,
        response_seconds=waited / requests if requests else None,
        instances=sum(row.instance_seconds for row in rows) / known,
    )
