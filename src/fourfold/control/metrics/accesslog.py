"""The gateway's access log, counted from where it was left: each line once, over restarts of HAProxy and of the daemon.

Lines are `gateway.render.LOG`. What of a line is text of clients is JSON there, in which a quote has a backslash before
it: what is looked for cannot be in there.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from fourfold.control.metrics.catalog import REQUEST_BUCKETS
from fourfold.paths import Paths
from fourfold.supervise import logs

FACTS = re.compile(rb'"backend":"([^"]*)","server":"([^"]*)","status":(-?\d+),"ms":(-?\d+),')
MOST = 64 * 1024**2
"""Bytes at a time: more than is kept of any run's log by default."""

Lines = dict[tuple[str, str, str], list[float]]
"""(backend, server, class of status) -> `[sum of seconds, count of bucket, …, count beyond]`, as a tally has latencies:
few entries, however many lines there were, for they are added to that on the event loop."""


@dataclass(frozen=True)
class Place:
    """Up to where it was read."""

    instance: str
    run: int
    offset: int = 0


@dataclass(frozen=True)
class Read:
    lines: Lines
    place: Place | None
    skipped: int = 0
    """Bytes that were given back before they could be read."""


def count(data: bytes) -> Lines:
    found = Counter(FACTS.findall(data))
    lines: Lines = {}
    for (backend, server, status, ms), times in found.items():
        seconds = max(int(ms), 0) / 1000
        key = backend.decode(errors="replace"), server.decode(errors="replace"), code_class(int(status))
        counts = lines.setdefault(key, [0.0] * (len(REQUEST_BUCKETS) + 2))
        counts[0] += seconds * times
        counts[1 + bisect_left(REQUEST_BUCKETS, seconds)] += times
    return lines


def code_class(status: int) -> str:
    """`2xx`; HAProxy says -1 where no answer was sent."""
    return f"{status // 100}xx" if 100 <= status < 600 else "none"


def _add(lines: Lines, more: Lines) -> None:
    for key, counts in more.items():
        lines[key] = [a + b for a, b in zip(lines[key], counts, strict=True)] if key in lines else counts


def has_grown(paths: Paths, place: Place | None, present: Place | None) -> bool:
    """Whether there may be something to `read`: one look at the log's size."""
    if place is None or present is None or (place.instance, place.run) != (present.instance, present.run):
        return (place or present) is not None
    try:
        return logs.path_of(paths, place.instance, place.run).stat().st_size != place.offset
    except OSError:
        return False


def read(paths: Paths, place: Place | None, present: Place | None) -> Read:
    """What came since `place`; `present` is the gateway's run now, None while there is none. Blocks: for a thread."""
    if place is None and present is None:
        return Read({}, None)
    lines: Lines = {}
    skipped, left = 0, MOST
    reached = place
    for at, ended in _runs(place, present):
        for piece in logs.pieces(logs.path_of(paths, at.instance, at.run), at.offset, final=ended, most=left):
            _add(lines, count(piece.data))
            skipped += piece.skipped
            left -= len(piece.data)
            at = replace(at, offset=piece.offset)
        reached = at
        if left <= 0:
            break
    return Read(lines, reached, skipped)


def _runs(place: Place | None, present: Place | None) -> Iterable[tuple[Place, bool]]:
    """What is to be read, oldest first, and whether nothing more comes there."""
    if place is None:
        assert present is not None
        yield present, False
        return
    if present is None or (place.instance, place.run) == (present.instance, present.run):
        yield place, False
        return
    yield place, True
    yield from _between(place, present)
    yield present, False


def _between(place: Place, present: Place) -> Iterator[tuple[Place, bool]]:
    """Runs that came and went meanwhile. Of an instance that is gone nobody knows how many it had after that."""
    first = place.run + 1 if place.instance == present.instance else 1
    for run in range(max(first, present.run - 100), present.run):
        yield Place(present.instance, run), True
