"""What each instance has answered: over the routes of its service, and over HAProxy's workers, which count from 0."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

from fourfold.gateway.model import InstanceStats

Worker = tuple[str, str]
"""(pid, start time)."""


class Served:
    """Adds up readings. An instance that was away is counted from 0 when it comes back: it is another run of it."""

    def __init__(self, stored: Mapping[str, Any] | None = None) -> None:
        """`stored`: what an earlier one's `stored` was."""
        self.readings = 0
        """How many this one has had: one that is as it was tells nothing of what has happened since."""
        found = stored or {}
        self._worker: Worker | None = tuple(found["worker"]) if found.get("worker") else None
        self._before = _named(found.get("before", ()))
        """By workers before this one."""
        self._last = _named(found.get("last", ()))
        self._gone = _named(found.get("gone", ()))
        """By those that are away, and by those that came back, before they were."""

    def read(self, worker: Worker, reading: Iterable[InstanceStats]) -> None:
        """`reading`: of each instance as often as it has routes."""
        self.readings += 1
        until_now = dict(self.totals())
        if worker != self._worker:
            self._worker, self._before, self._last = worker, until_now, {}
        now: dict[str, InstanceStats] = {}
        for each in reading:
            now[each.instance] = together(now[each.instance], each) if each.instance in now else each
        again = {name for name, each in self._last.items() if name in now and now[name].requests < each.requests}
        self._leave({name: each for name, each in until_now.items() if name not in now or name in again})
        self._before = {name: each for name, each in self._before.items() if name in now and name not in again}
        self._last = now

    def left(self, names: Collection[str]) -> None:
        """HAProxy has no such servers any more: one that comes back counts from 0, however far it gets."""
        self._leave({name: each for name, each in self.totals().items() if name in names})
        for name in names:
            self._before.pop(name, None)
            self._last.pop(name, None)

    def _leave(self, totals: Mapping[str, InstanceStats]) -> None:
        for name, each in totals.items():
            self._gone[name] = together(self._gone[name], each) if name in self._gone else each

    def totals(self) -> Mapping[str, InstanceStats]:
        return {
            name: replace(together(self._before[name], each), in_flight=each.in_flight)
            if name in self._before
            else each
            for name, each in self._last.items()
        }

    def ever(self) -> Mapping[str, InstanceStats]:
        """As `totals`, over all runs of an instance, and of those that are away too: these numbers only grow.

        `response_seconds` is as the present worker of HAProxy has it, if it has had any requests.
        """
        found = dict(self._gone)
        for name, each in self.totals().items():
            whole = together(found[name], each) if name in found else each
            last = self._last[name]
            seconds = last.response_seconds if last.requests else whole.response_seconds
            found[name] = replace(whole, in_flight=each.in_flight, response_seconds=seconds)
        return found

    def keep(self, names: Collection[str]) -> None:
        """Forget what all other instances had answered before they went away."""
        self._gone = {name: each for name, each in self._gone.items() if name in names}

    def stored(self) -> dict[str, Any]:
        """As JSON; numbers without their names, for there may be thousands of instances."""
        kept = {"before": self._before, "last": self._last, "gone": self._gone}
        return {"worker": self._worker} | {
            name: [list(vars(stats).values()) for stats in each.values()] for name, each in kept.items()
        }


def _named(stored: Iterable[Any]) -> dict[str, InstanceStats]:
    return {each[0]: InstanceStats(*each) for each in stored}


def together(one: InstanceStats, other: InstanceStats) -> InstanceStats:
    """Of two routes, or two workers: the mean time by how many requests each has had."""
    requests = one.requests + other.requests
    seconds = one.response_seconds * one.requests + other.response_seconds * other.requests
    return InstanceStats(
        one.instance,
        requests,
        one.errors_5xx + other.errors_5xx,
        one.errors_4xx + other.errors_4xx,
        one.in_flight + other.in_flight,
        seconds / requests if requests else 0.0,
    )
