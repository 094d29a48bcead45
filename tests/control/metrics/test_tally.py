"""What each event and each line of the access log counts for."""

from __future__ import annotations

from typing import Any

import pytest

from fourfold.control.metrics import catalog as c
from fourfold.control.metrics.accesslog import count
from fourfold.control.metrics.catalog import Metric
from fourfold.control.metrics.tally import Tally
from fourfold.gateway.render import LOG
from fourfold.store.model import Event, MetricCount

WEB = ("shop", "web")


def event(kind: str, **data: Any) -> Event:
    return Event(1, 1.0, "shop", "web", "shop.web-1-a", kind, "it happened", None, data)


CASES: list[tuple[Event, Metric, tuple[str, ...]]] = [
    (event("instance.exited", code=1, signal=None, oom=False), c.EXITS, (*WEB, "error")),
    (event("instance.exited", code=0, signal=None, oom=False), c.EXITS, (*WEB, "ok")),
    (event("instance.exited", code=None, signal=9, oom=False), c.EXITS, (*WEB, "signal")),
    (event("instance.exited", code=None, signal=9, oom=True), c.EXITS, (*WEB, "oom")),
    (event("instance.exited", code=None, signal=None, oom=False), c.EXITS, (*WEB, "unknown")),
    (event("instance.exited", reason="no such command"), c.EXITS, (*WEB, "not-started")),
    (event("deploy.done", seconds=2.0), c.DEPLOYMENTS, (*WEB, "done")),
    (event("deploy.failed"), c.DEPLOYMENTS, (*WEB, "failed")),
    (event("deploy.rolled-back"), c.DEPLOYMENTS, (*WEB, "rolled-back")),
    (event("build.done", seconds=1.0), c.BUILDS, (*WEB, "done")),
    (event("build.failed"), c.BUILDS, (*WEB, "failed")),
    (event("run.done", code=0, outcome="ok"), c.RUNS, (*WEB, "ok")),
    (event("run.failed", code=1, outcome="timeout"), c.RUNS, (*WEB, "timeout")),
    (event("secrets.set"), c.EVENTS, ("shop", "secrets.set")),
]


@pytest.mark.parametrize(("told", "metric", "labels"), CASES)
def test_events(told: Event, metric: Metric, labels: tuple[str, ...]) -> None:
    tally = Tally()
    tally.heard(told)
    assert tally.series(metric) == [(labels, [1])]


def test_a_run_that_is_tried_again_and_a_deployment_that_is_being_aborted_have_not_ended() -> None:
    tally = Tally()
    tally.heard(event("run.failed", code=1))
    tally.heard(event("deploy.aborted"))
    assert tally.series(c.RUNS) == tally.series(c.DEPLOYMENTS) == []


def test_how_long_a_deployment_took() -> None:
    tally = Tally()
    for seconds in (0.5, 7.0, 4000.0):
        tally.heard(event("deploy.done", seconds=seconds))
    ((_, counts),) = tally.series(c.DEPLOYING)
    assert counts[0] == 4007.5
    assert (counts[1], counts[5], counts[-1], sum(counts[1:])) == (1, 1, 1, 3)


def test_lines_of_builds_are_no_events_and_a_removed_app_has_no_series() -> None:
    tally = Tally()
    tally.heard(event("build.log"))
    assert tally.series(c.EVENTS) == []
    tally.heard(event("deploy.done", seconds=1.0))
    tally.add(c.UNROUTED, "shop")
    tally.heard(event("app.removed"))
    assert not any(tally.series(metric) for metric in c.METRICS if metric is not c.UNROUTED)
    assert tally.series(c.UNROUTED) == [(("shop",), [1])]
    assert (c.EVENTS.name, ("shop", "deploy.done")) in tally.gone
    tally.heard(event("operation.done"))
    assert tally.series(c.EVENTS) == []
    tally.heard(event("operation.started"))
    assert tally.series(c.EVENTS) == [(("shop", "operation.started"), [1])]


def line(backend: str, server: str, status: int, ms: int, path: str = "/") -> bytes:
    """As HAProxy writes `LOG`: JSON with its aliases in the place of ours."""
    told = LOG
    for alias, value in {"%b": backend, "%s": server, "%ST": status, "%Ta": ms, "%HM": "GET"}.items():
        told = told.replace(f'"{alias}"', f'"{value}"').replace(f":{alias},", f":{value},")
    return told.replace("%[var(txn.path),json(utf8s)]", path).encode() + b"\n"


ROUTES = {"shop.web": ("shop.web", "/"), "shop.web.2": ("shop.web", "POST /x"), "shop.web.internal": ("shop.web", "")}


def test_lines_of_the_access_log() -> None:
    trick = r"/\"backend\":\"shop.api\",\"server\":\"x\",\"status\":500,\"ms\":1,"
    lines = [
        line("shop.web", "shop.web-1-a", 200, 3),
        line("shop.web", "shop.web-1-a", 204, 3, trick),
        line("shop.web.2", "shop.web-1-b", 500, 1200),
        line("shop.web.internal", "<NOSRV>", 503, 0),
        line("shop.web", "<NOSRV>", -1, -1),
        line("shop.api.7", "shop.api-1-c", 302, 20),
        line("no-route", "<NOSRV>", 404, 0),
        line("public-all:8080", "<NOSRV>", 400, -1),
    ]
    tally = Tally()
    tally.answered(count(b"".join(lines)), ROUTES)
    requests = {labels: counts[0] for labels, counts in tally.series(c.REQUESTS)}
    assert requests == {
        ("shop", "web", "/", "2xx"): 2,
        ("shop", "web", "/", "none"): 1,
        ("shop", "web", "POST /x", "5xx"): 1,
        ("shop", "web", "internal", "5xx"): 1,
        ("shop", "api", "other", "3xx"): 1,
    }
    instances = {labels[2:]: counts[0] for labels, counts in tally.series(c.ANSWERED)}
    assert instances == {("shop.web-1-a", "2xx"): 2, ("shop.web-1-b", "5xx"): 1, ("shop.api-1-c", "3xx"): 1}
    assert {labels: counts[0] for labels, counts in tally.series(c.UNROUTED)} == {("4xx",): 2}
    latencies = dict(tally.series(c.LATENCY))
    assert latencies["shop", "web", "POST /x"][0] == 1.2
    assert latencies["shop", "web", "/"][:2] == [0.006, 3]
    tally.keep_instances({"shop.web-1-b": None})
    assert [labels[2] for labels, _ in tally.series(c.ANSWERED)] == ["shop.web-1-b"]


def test_the_same_lines_are_counted_together() -> None:
    (entry,) = count((line("shop.web", "a", 200, 1) + line("shop.web", "a", 201, 70_000)) * 3).items()
    assert entry == (("shop.web", "a", "2xx"), [210.003, 3, *[0] * (len(c.REQUEST_BUCKETS) - 1), 3])
    assert count(b"HAProxy says: [NOTICE] worker started\n\0\0\0") == {}


def test_what_is_stored_goes_on_and_what_is_not_understood_is_left_out() -> None:
    tally = Tally()
    tally.heard(event("deploy.done", seconds=1.0))
    rows = [tally.row(key) for key in tally.changed]
    odd = [
        MetricCount("gone_total", (), (1.0,)),
        MetricCount(c.LAG.name, (), (1.0, 2.0)),
        MetricCount(c.EVENTS.name, ("shop",), (1.0,)),
    ]
    again = Tally([*rows, *odd])
    again.heard(event("deploy.done", seconds=1.0))
    assert again.series(c.DEPLOYMENTS) == [((*WEB, "done"), [2])]
    assert again.series(c.LAG) == [] and again.series(c.EVENTS) == [(("shop", "deploy.done"), [2])]


def test_of_candidates_of_comparisons_and_of_what_is_removed_nothing_is_counted() -> None:
    tally, lines = Tally(left_out=lambda app: app == "shop"), count(line("shop.web", "shop.web-1-a", 200, 3))
    tally.heard(event("deploy.done", seconds=1.0))
    tally.answered(lines, ROUTES)
    assert not any(tally.series(metric) for metric in c.METRICS)
    tally = Tally()
    tally.heard(event("app.removed"))
    tally.answered(lines, ROUTES)
    assert not any(tally.series(metric) for metric in c.METRICS)
