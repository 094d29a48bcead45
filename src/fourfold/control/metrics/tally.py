"""Counters of what happened: by events, and by lines of the access log. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence

from fourfold.control.metrics import catalog as c
from fourfold.control.metrics.accesslog import Lines
from fourfold.control.metrics.catalog import Metric
from fourfold.store.model import Event, MetricCount

Key = tuple[str, tuple[str, ...]]
"""A metric's name, and its labels' values."""
INTERNAL = "internal"
"""In place of a route: calls from other services. A route's text has a slash."""
OTHER = "other"


class Tally:
    """`changed`: what is to be stored, and `gone`: what is to be forgotten, since whoever stores them cleared both."""

    def __init__(self, stored: Iterable[MetricCount] = (), left_out: Callable[[str], bool] = lambda app: False) -> None:
        """`left_out`: whether nothing is counted of an app: what comparisons run beside the live ones.

        Of metrics that this version does not have, or counts in other buckets, nothing is taken over.
        """
        self._left_out = left_out
        self._counts: dict[Key, list[float]] = {}
        for row in stored:
            metric = c.BY_NAME.get(row.metric)
            if metric is not None and (len(row.labels), len(row.counts)) == (len(metric.labels), _places(metric)):
                self._counts[row.metric, row.labels] = list(row.counts)
        self._removed: set[str] = set()
        """Apps that are gone; the end of the operation that removed one is told after it."""
        self.changed: set[Key] = set()
        self.gone: set[Key] = set()

    def series(self, metric: Metric) -> list[tuple[tuple[str, ...], Sequence[float]]]:
        """Labels' values, and `[value]`, or of a histogram `[sum, count of bucket, …, count beyond]`."""
        return sorted((labels, counts) for (name, labels), counts in self._counts.items() if name == metric.name)

    def row(self, key: Key) -> MetricCount:
        return MetricCount(key[0], key[1], tuple(self._counts[key]))

    def add(self, metric: Metric, *labels: str, by: float = 1) -> None:
        self._of(metric, labels)[0] += by

    def observe(self, metric: Metric, *labels: str, value: float) -> None:
        counts = self._of(metric, labels)
        counts[0] += value
        counts[1 + bisect_left(metric.buckets, value)] += 1

    def _of(self, metric: Metric, labels: tuple[str, ...]) -> list[float]:
        key = (metric.name, labels)
        self.changed.add(key)
        if key not in self._counts:
            self._counts[key] = [0.0] * _places(metric)
            self.gone.discard(key)
        return self._counts[key]

    def _forget(self, keys: Iterable[Key]) -> None:
        for key in list(keys):
            del self._counts[key]
            self.changed.discard(key)
            self.gone.add(key)

    def forget_app(self, app: str) -> None:
        self._forget(key for key in self._counts if key[1][:1] == (app,) and c.BY_NAME[key[0]].labels[0] == "app")

    def keep_instances(self, there: Mapping[str, object]) -> None:
        """Forget what all others had answered: a series per instance that ever was would grow without end."""
        self._forget(key for key in self._counts if key[0] == c.ANSWERED.name and key[1][2] not in there)

    # -- events -----------------------------------------------------------------------------------------------------

    def heard(self, event: Event) -> None:
        """Each once, in order."""
        app, service = event.app or "", event.service or ""
        if not self._takes(event, app):
            return
        self.add(c.EVENTS, app, event.kind)
        if not service:
            return
        seconds = event.data.get("seconds")
        match event.kind:
            case "instance.exited":
                self.add(c.EXITS, app, service, why(event))
            case "deploy.done" | "deploy.failed" | "deploy.rolled-back":
                self.add(c.DEPLOYMENTS, app, service, event.kind.removeprefix("deploy."))
                if event.kind == "deploy.done" and isinstance(seconds, int | float):
                    self.observe(c.DEPLOYING, app, service, value=seconds)
            case "build.done" | "build.failed":
                self.add(c.BUILDS, app, service, event.kind.removeprefix("build."))
                if event.kind == "build.done" and isinstance(seconds, int | float):
                    self.observe(c.BUILDING, app, service, value=seconds)
            case "run.done":
                self.add(c.RUNS, app, service, "ok")
            case "run.failed" if "outcome" in event.data:  # else it is tried again
                self.add(c.RUNS, app, service, str(event.data["outcome"]))

    def _takes(self, event: Event, app: str) -> bool:
        if self._left_out(app):
            return False
        if event.kind == "app.removed":
            self.forget_app(app)
            self._removed.add(app)
        elif event.kind == "operation.started":
            self._removed.discard(app)
        return event.kind != "build.log" and app not in self._removed

    # -- the access log -----------------------------------------------------------------------------------------------

    def answered(self, lines: Lines, routes: Mapping[str, tuple[str, str]]) -> None:
        """`routes`: of each of HAProxy's backends its service (`app.service`) and route."""
        for (backend, server, code), counts in lines.items():
            times = sum(counts[1:])
            key, route = _route(backend, routes)
            if key is None:
                self.add(c.UNROUTED, code, by=times)
                continue
            if self._left_out(key[0]) or key[0] in self._removed:
                continue
            self.add(c.REQUESTS, *key, route, code, by=times)
            latencies = self._of(c.LATENCY, (*key, route))
            latencies[:] = [a + b for a, b in zip(latencies, counts, strict=True)]
            if server.startswith(f"{key[0]}."):  # not `<NOSRV>`
                self.add(c.ANSWERED, *key, server, code, by=times)


def _places(metric: Metric) -> int:
    return 2 + len(metric.buckets) if metric.kind == "histogram" else 1


def _route(backend: str, routes: Mapping[str, tuple[str, str]]) -> tuple[tuple[str, str] | None, str]:
    """A backend of a configuration that is gone still names its service."""
    service, route = routes.get(backend, ("", OTHER))
    app, dot, name = (service or backend).partition(".")
    return ((app, name.partition(".")[0]), route or INTERNAL) if dot else (None, "")


def why(event: Event) -> str:
    """Why an instance ended: a word of few, as labels are to be."""
    data = event.data
    if data.get("oom"):
        return "oom"
    if data.get("signal") is not None:
        return "signal"
    if data.get("code") is not None:
        return "ok" if data["code"] == 0 else "error"
    return "unknown" if "code" in data else "not-started"
