"""status, explain, logs, events, history, top, apps, doctor, gc, version: what is printed, exactly."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from fourfold.cli import following
from fourfold.cli.top_table import SORTS, total
from fourfold.cli.top_table import instances as top_table
from fourfold.control import views as v
from fourfold.control.scalingview import ScalingView
from fourfold.errors import WorldError
from fourfold.store.events import Which
from fourfold.supervise.model import LogLine
from tests.api import fake
from tests.api.serving import Serving, eventually, serving
from tests.cli.conftest import Cli


def test_status(cli: Cli, server: Serving) -> None:
    server.facade.state = fake.status(
        fake.service("catalog"),
        fake.service(
            "orders",
            release=2,
            ready=1,
            deployment=v.DeploymentView(state="rolled-back", reason="exit code 3"),
            overrides={"instances": 2},
        ),
        fake.service("worker", ready=0, stopped=True, routes=[], instances=[], limits_missing={"memory": "not root"}),
        fake.service(
            "report", ready=0, instances=[fake.instance("shop.report-3-a", 3, state="crash-loop", exit=fake.exited())]
        ),
    )
    server.facade.state.not_in_file.append("old")
    result = cli("status")
    assert (result.code, result.err) == (0, "")
    assert result.out == (
        "shop at http://127.0.0.1:8080\n"
        "\n"
        "SERVICE  PATTERN  RELEASE  READY  STATE         CPU  MEMORY  RESTARTS  ROUTES\n"
        "catalog  process        3    2/2  ready       2.4 s  60 MiB         0  /catalog\n"
        "orders   process        2    1/2  degraded    2.4 s  60 MiB         0  /orders\n"
        "worker   process        3    0/2  stopped         -       -         0  -\n"
        "report   process        3    0/2  crash-loop  1.2 s  30 MiB         0  /report\n"
        "\n"
        "orders: last deploy failed and was rolled back: exit code 3 (`fourfold explain orders`)\n"
        "orders: set by a command, not by the file: instances 2 (`fourfold up --reset` forgets)\n"
        "worker: memory is not limited: not root\n"
        "report: 0 of 2 ready: exit code 3 (`fourfold explain report`)\n"
        "\n"
        "not in the file any more: old (`fourfold up --prune` removes)\n"
    )


def test_status_of_instances(cli: Cli, server: Serving) -> None:
    result = cli("status", "-v")
    assert result.out.endswith(
        "\n"
        "INSTANCE        PATTERN  STATE  ADDRESS           PID  STARTED  READY AFTER  RESTARTS  LAST EXIT\n"
        "catalog-3-k7f2  process  ready  127.0.0.1:41001  4242  1 h ago       0.41 s         0  -\n"
        "catalog-3-p0q1  process  ready  127.0.0.1:41001  4243  1 h ago       0.41 s         0  -\n"
    )


def test_status_of_a_service_that_moves(cli: Cli, server: Serving) -> None:
    old, new = fake.instance("shop.catalog-3-k7f2", 3), fake.instance("shop.catalog-3-p0q1", 3, pattern="container")
    new = new.model_copy(update={"address": "10.177.0.5:8080", "pid": 4243})
    running = v.DeploymentView(state="running", reason=None)
    overrides = {"pattern": "container"}
    server.facade.state = fake.status(
        fake.service("catalog", pattern="container", overrides=overrides, deployment=running, instances=[old, new])
    )
    assert cli("status", "-v").out == (
        "shop at http://127.0.0.1:8080\n"
        "\n"
        "SERVICE  PATTERN    RELEASE  READY  STATE        CPU  MEMORY  RESTARTS  ROUTES\n"
        "catalog  container        3    2/2  deploying  2.4 s  60 MiB         0  /catalog\n"
        "\n"
        "catalog: set by a command, not by the file: pattern container (`fourfold up --reset` forgets)\n"
        "\n"
        "INSTANCE        PATTERN    STATE  ADDRESS           PID  STARTED  READY AFTER  RESTARTS  LAST EXIT\n"
        "catalog-3-k7f2  process    ready  127.0.0.1:41001  4242  1 h ago       0.41 s         0  -\n"
        "catalog-3-p0q1  container  ready  10.177.0.5:8080  4243  1 h ago       0.41 s         0  -\n"
    )


def test_status_of_services_that_their_load_scales(cli: Cli, server: Serving) -> None:
    busy = ScalingView(
        min=2, max=8, per_instance={"rps": 50}, active=True, inactive_why=None, since="2026-11-22T08:00:00Z",
        why="190 requests per second, 50 for each instance", now="550 requests per second, 50 for each instance",
        looked_at="2026-11-22T09:00:00Z", asked=11,
    )  # fmt: skip
    held = busy.model_copy(update={"active": False, "inactive_why": "a command set it to 2", "asked": None})
    server.facade.state = fake.status(
        fake.service("catalog").model_copy(update={"scaling": busy}),
        fake.service("orders").model_copy(update={"scaling": held}),
    )
    out = cli("status").out
    assert "2/2 (2-8)  ready" in out and "      2/2  ready" in out
    assert out.partition("\n\n")[2].partition("\n\n")[2] == (
        "catalog: 2 instances, scaled 1 h ago: 190 requests per second, 50 for each instance\n"
        "catalog: its load is for 11 instances, and instances.max is 8: 550 requests per second, 50 for each instance\n"
        "orders: not scaled by its load: a command set it to 2\n"
    )


def test_status_for_programs_is_what_the_design_promises(cli: Cli, server: Serving) -> None:
    answer = json.loads(cli("status", "-o", "json").out)
    assert answer == server.facade.state.model_dump(mode="json")
    assert {"app", "gateway", "daemon", "services"} <= answer.keys()
    service = answer["services"][0]
    promised = "name pattern target release desired ready overrides deployment routes instances"
    assert set(promised.split()) <= service.keys()
    promised = "id release pattern state address pid host restarts started_at ready_after cpu_seconds memory_bytes "
    promised += "exit sandboxes cpu memory traffic"
    assert set(promised.split()) == service["instances"][0].keys()


def test_watching_needs_a_terminal(cli: Cli, server: Serving) -> None:
    result = cli("status", "--watch")
    assert (result.code, result.out) == (2, "")
    assert result.err == ("error: cannot watch: standard output is not a terminal\nhint: leave --watch out\n")


EXPLAINED = v.ExplainView(
    service="orders",
    well=False,
    summary="orders is not well: 0 of 1 instances of release 3 ready",
    findings=["shop.orders-3-a ended: exit code 3 (5 times in a row: a crash loop)"],
    what_to_do=["read its last lines: fourfold logs --previous orders"],
    deployment=v.DeploymentView(state="failed", reason="exit code 3"),
    exits=[fake.exited()],
    probe_error="connection refused",
    last_lines=["Traceback", "ModuleNotFoundError: No module named 'flask'", "w" * 1000],
)


def test_explain(cli: Cli, server: Serving) -> None:
    server.facade.explained["orders"] = EXPLAINED
    result = cli("explain", "orders")
    assert (result.code, result.err) == (0, "")
    assert result.out == (
        "orders is not well: 0 of 1 instances of release 3 ready\n"
        "  - shop.orders-3-a ended: exit code 3 (5 times in a row: a crash loop)\n"
        "last deploy: failed: exit code 3\n"
        "health probe: connection refused\n"
        "last exits:\n"
        "  08:00:00  exit code 3\n"
        "last lines:\n"
        "  | Traceback\n"
        "  | ModuleNotFoundError: No module named 'flask'\n"
        f"  | {'w' * 240}…\n"
        "what to do:\n"
        "  - read its last lines: fourfold logs --previous orders\n"
    )
    assert json.loads(cli("explain", "orders", "-o", "json").out) == EXPLAINED.model_dump(mode="json")


def test_explain_what_is_not_there(cli: Cli, server: Serving) -> None:
    result = cli("explain", "nix")
    assert (result.code, result.out) == (2, "")
    assert result.err == "error: cannot find service nix in shop: services are catalog\n"


LINES = [
    ("shop.catalog-3-k7f2", LogLine(1795334400.0, "GET / 200 \u2028 done")),
    ("shop.orders-1-aaaa", LogLine(1795334401.5, "")),
]


def test_logs(cli: Cli, server: Serving) -> None:
    server.facade.lines = LINES
    assert cli("logs").out == "catalog-3-k7f2 | GET / 200 \u2028 done\norders-1-aaaa | \n"
    assert cli("logs", "-t").out.startswith("catalog-3-k7f2 | 08:00:00 GET")
    asked = [call for call in server.facade.calls if call[0] == "logs"]
    assert asked[0] == ("logs", ("shop", [], None, 100, False, False))


def test_logs_asked_for_in_detail(cli: Cli, server: Serving) -> None:
    cli("logs", "a", "gateway", "--tail", "5", "--previous", "--since", "2026-11-22T08:00:00Z")
    assert server.facade.calls[-1] == ("logs", ("shop", ["a", "gateway"], 1795334400.0, 5, True, False))
    cli("logs", "--since", "10m")
    assert server.facade.calls[-1][1][2] > 1700000000
    result = cli("logs", "--since", "yesterday")
    assert result.code == 2
    assert "expected a duration such as 30s" in result.err


def test_logs_for_programs(cli: Cli, server: Serving) -> None:
    server.facade.lines = LINES
    lines = cli("logs", "-o", "json").out.split("\n")
    assert json.loads(lines[1]) == {"instance": "shop.orders-1-aaaa", "at": "2026-11-22T08:00:01.500Z", "text": ""}


def test_logs_that_break_off(cli: Cli, server: Serving) -> None:
    server.facade.lines = LINES[:1]
    server.facade.after_items = WorldError("cannot read on: disk gone", "look")
    result = cli("logs")
    assert result.code == 1
    assert result.out.startswith("catalog-3-k7f2 | GET")
    assert result.err == "error: cannot read on: disk gone\nhint: look\n"


def test_following_goes_on_over_a_restart(home: Path) -> None:
    """Each line once, those that were written meanwhile too."""
    late, same, new = (LogLine(1795334500.25, text) for text in ("late", "again", "new"))
    with serving(home / "run/fourfold.sock") as first:
        first.facade.lines = [("shop.a-1-x", LogLine(1795334400.0, "old")), ("shop.a-1-x", late), ("shop.b-1-x", same)]
        process = subprocess.Popen(
            [sys.executable, "-m", "fourfold", "logs", "-f", "-a", "shop"], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(3)] == ["a-1-x | old\n", "a-1-x | late\n", "b-1-x | again\n"]
    with process, serving(home / "run/fourfold.sock") as second:
        second.call(lambda: second.facade.lines.extend([("shop.a-1-x", late), ("shop.b-1-x", same)]))
        second.call(lambda: second.facade.lines.extend([("shop.b-1-x", same), ("shop.a-1-x", new)]))
        second.call(second.facade.news.set)
        assert [process.stdout.readline() for _ in range(2)] == ["b-1-x | again\n", "a-1-x | new\n"]
        assert second.facade.calls[-1] == ("logs", ("shop", [], 1795334499.25, None, False, True))
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130


def test_following_what_does_not_come_back(cli: Cli, server: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "BACK_WITHIN", 0.0)

    def end() -> None:
        eventually(lambda: server.facade.following == 1)
        server.stop()

    threading.Thread(target=end).start()
    result = cli("logs", "-f", "-a", "shop")
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("error: cannot go on: the daemon went away and is not back\n")
    assert "none runs there" in cli("logs", "-f", "-a", "shop").err


HAPPENED = [
    fake.event(1, "operation.started", "up of shop begins", actor="alice"),
    fake.event(2, "deploy.done", "catalog is done in 1.4 s", service="catalog"),
    fake.event(3, "operation.failed", "up of shop failed", at="2026-11-21T08:00:00Z"),
]


def asked(server: Serving, method: str) -> list[Any]:
    return [arguments for name, arguments in server.facade.calls if name == method]


def test_events(cli: Cli, server: Serving) -> None:
    server.facade.happened = HAPPENED
    assert cli("events", "-a", "shop").out == (
        "08:00:00  shop         operation.started  up of shop begins (by alice)\n"
        "08:00:00  catalog      deploy.done        catalog is done in 1.4 s\n"
        "2026-11-21 08:00:00  shop         operation.failed   up of shop failed\n"
    )
    assert cli("events", "--tail", "1").out.count("\n") == 1
    assert [item["seq"] for item in json.loads(cli("events", "-o", "json").out)] == [1, 2, 3]
    assert server.facade.calls[-1] == ("events", (None, 0, False, None, 50))
    assert cli("events", "--since", "1970-01-01T00:00:05Z", "--kind", "deploy.*", "--kind", "run.failed").code == 0
    assert asked(server, "events")[-1][1:] == (0, False, None, None, Which(("deploy.*", "run.failed"), 5.0))
    assert cli("events", "--since", "10m", "--tail", "3").code == 0
    assert asked(server, "events")[-1][4] == 3
    assert cli("events", "--operation", "op1", "--kind", "deploy.*").out.count("\n") == 1
    for nonsense in (["--since", "yesterday"], ["--since", "2026-13-01"], ["--kind", "Deploy Done"], ["--tail", "-1"]):
        assert cli("events", *nonsense).code == 2, nonsense


def test_events_of_an_app_that_is_not_there(cli: Cli, server: Serving) -> None:
    result = cli("events", "-a", "nix")
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("error: cannot find app nix: apps here are shop\n")


def test_following_an_operation_ends_with_it(cli: Cli, server: Serving) -> None:
    server.facade.happened = HAPPENED
    result = cli("events", "-f", "--operation", "op1")
    assert (result.code, result.out.count("\n")) == (1, 3)
    server.facade.happened = HAPPENED[:2]
    server.happen(fake.event(4, "operation.done", "done"))
    assert cli("events", "-f", "--operation", "op1", "-o", "json").code == 0


def test_events_are_followed_over_a_restart(home: Path) -> None:
    with serving(home / "run/fourfold.sock") as first:
        first.facade.happened = HAPPENED[:1]
        process = subprocess.Popen(
            [sys.executable, "-m", "fourfold", "events", "-f", "-a", "shop"], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert "operation.started" in process.stdout.readline()
        eventually(lambda: first.facade.calls[-1] == ("events", ("shop", 1, True, None, None)))
    with process, serving(home / "run/fourfold.sock") as second:
        second.happen(*HAPPENED[:2])
        assert "deploy.done" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130


def test_history(cli: Cli, server: Serving) -> None:
    release = v.ReleaseView(
        service="catalog",
        number=3,
        current=True,
        actor="alice",
        commit="abc123def456-dirty",
        message="new prices",
        created_at=fake.AT,
        source="a" * 64,
        patterns=["container", "process"],
        deployments=["failed: exit code 3", "done"],
    )
    before = {"number": 2, "current": False, "commit": None, "message": None, "patterns": ["process"]}
    older = release.model_copy(update=before)
    server.facade.releases = [release, older]
    result = cli("history", "catalog")
    assert result.out == (
        "SERVICE  RELEASE  WHEN     WHO    COMMIT              BUILT FOR          RESULT  MESSAGE\n"
        "catalog  3*       1 h ago  alice  abc123def456-dirty  container,process  done    new prices\n"
        "catalog  2        1 h ago  alice  -                   process            done\n"
    )
    assert "fourfold rollback SERVICE --to RELEASE" in result.err
    assert server.facade.calls[-2:] == [("history", ("shop", "catalog")), ("runs", ("shop", "catalog"))]


def test_history_of_a_job(cli: Cli, server: Serving) -> None:
    shown = (
        "RUN              RELEASE  WHEN     BY   RESULT  EXIT   TOOK  TRIES  REASON\n"
        "nightly-1-abcde        1  1 h ago  ann  failed     7  2.0 s      1  exit code 7\n"
    )
    assert cli("history", "nightly").out.endswith(f"\n\n{shown}")
    assert cli("history", "--runs").out == shown
    (run,) = json.loads(cli("history", "nightly", "--runs", "-o", "json").out)
    assert (run["state"], run["code"]) == ("failed", 7)


def test_status_of_a_job(cli: Cli, server: Serving) -> None:
    last = fake.run_view()
    server.facade.state = fake.status(
        fake.service("idle", instances=[], routes=[], job=v.JobView(running=0, last=None, next_at=None)),
        fake.service("nightly", instances=[], routes=[], job=v.JobView(running=2, last=last, next_at=fake.AT)),
    )
    out = cli("status").out
    assert "idle     process        3      -  job " in out and "nightly  process        3      -  running " in out
    assert "idle: no run has ended yet\n" in out
    assert "nightly: 2 runs under way; the last one failed (exit code 7), 1 h ago; the next one at " in out


FAILED = v.FailedView(
    id="0aa9", service="web", source="s3", created_at=fake.AT, failed_at=fake.AT, attempts=3,
    reason="RetriesExhausted", error="Unhandled", payload='{"Records":\n []}', size_bytes=15, answer="{}",
)  # fmt: skip


def test_failed_events_are_listed_and_replayed(cli: Cli, server: Serving) -> None:
    server.facade.failed = [FAILED, FAILED.model_copy(update={"id": "0bb7"})]
    result = cli("events", "--failed", "web")
    assert result.out == (
        "ID    SERVICE  FROM  FAILED   TRIES  REASON            EVENT\n"
        '0aa9  web      s3    1 h ago      3  RetriesExhausted  {"Records": []}\n'
        '0bb7  web      s3    1 h ago      3  RetriesExhausted  {"Records": []}\n'
    )
    assert json.loads(cli("events", "--failed", "-o", "json").out)[0]["payload"] == '{"Records":\n []}'
    assert cli("events", "replay", "0bb7").out == "0bb7\n"
    assert server.facade.calls[-1][1][:3] == ("shop", None, ["0bb7"])
    assert cli("events", "replay", "--all", "web").out == "0aa9\n0bb7\n"
    assert server.facade.calls[-1][1][:3] == ("shop", "web", None)


@pytest.mark.parametrize(
    "words", [["replay"], ["replay", "--all"], ["replay", "--all", "a", "b"], ["web"], ["--failed", "a", "b"]]
)
def test_nonsense_about_failed_events_is_refused(cli: Cli, server: Serving, words: list[str]) -> None:
    result = cli("events", *words)
    assert result.code == 2 and result.err.startswith("error: cannot ")


def test_top(cli: Cli, server: Serving, home: Path) -> None:
    row = v.TopRow(
        app="shop",
        service="catalog",
        instance="shop.web-3-k7f2",
        pattern="process",
        state="ready",
        cpu_percent=12.34,
        cpu_seconds=100,
        memory_bytes=31457280,
        memory_limit=268435456,
        processes=1,
        threads=4,
        descriptors=12,
        read_bytes=0,
        written_bytes=20000,
    )
    server.facade.rows = [row.model_copy(update={"instance": "shop.idle-1-a", "cpu_percent": 0.0}), row]
    traffic = v.TrafficView(requests=90, errors_5xx=2, errors_4xx=1, in_flight=0, response_seconds=0.0123)
    guest_row = row.model_copy(
        update={
            "instance": "shop.app-1-b", "pattern": "shared", "cpu_percent": 5.0, "memory": "estimated",
            "memory_limit": None, "processes": None, "descriptors": None, "read_bytes": None, "written_bytes": None,
            "requests_per_second": 4.04, "traffic": traffic,
        }
    )  # fmt: skip
    unknown = {"cpu_percent": None, "cpu_seconds": None, "cpu": "unknown", "memory_bytes": None, "memory": "unknown"}
    server.facade.rows = [guest_row.model_copy(update={**unknown, "instance": "shop.idle-1-a"}), guest_row, row]
    assert cli("top").out == (
        "INSTANCE         PATTERN  STATE  CPU %         CPU   MEMORY    LIMIT  PROCS  THREADS  FILES  READ  WRITTEN  "
        "REQ/S  5XX     MEAN\n"
        "shop.web-3-k7f2  process  ready   12.3  1 min 40 s   30 MiB  256 MiB      1        4     12   0 B   20 KiB  "
        "    -    -        -\n"
        "shop.app-1-b     shared   ready    5.0  1 min 40 s  ~30 MiB        -      -        4      -     -        -  "
        "  4.0    2  0.012 s\n"
        "shop.idle-1-a    shared   ready      -           -        -        -      -        4      -     -        -  "
        "  4.0    2  0.012 s\n"
    )
    guest = v.GuestView(cpu_seconds=1, memory_bytes=10485760, memory_total=52428800, processes=1)
    machine = row.model_copy(update={"pattern": "vm", "guest": guest})
    assert "30 MiB (10 MiB)  256 MiB (50 MiB)" in "\n".join(top_table([machine], with_app=True))
    assert cli("top", "--services").out == (
        "SERVICE       PATTERN          INSTANCES  CPU %         CPU   MEMORY  LIMIT  PROCS  THREADS  FILES  READ  "
        "WRITTEN  REQ/S  5XX     MEAN\n"
        "shop.catalog  process, shared          3   17.3  3 min 20 s  ~60 MiB      -      1       12     12   0 B   "
        "20 KiB    8.1    4  0.012 s\n"
    )
    assert cli("top", "-a", "shop").out.endswith(
        "\nSERVICE  ROUTE     REQUESTS  5XX  4XX  REFUSED  IN FLIGHT    MEAN\n"
        "catalog  /catalog        12    0    1        0          0  0.01 s\n"
    )


def top_row(name: str, **given: Any) -> v.TopRow:
    fields: dict[str, Any] = {
        "app": "shop", "service": "web", "instance": name, "pattern": "process", "state": "ready", "cpu_percent": 1.0,
        "cpu_seconds": 1.0, "memory_bytes": 100, "memory_limit": 200, "processes": 1, "threads": 1, "descriptors": 1,
        "read_bytes": 0, "written_bytes": 0,
    }  # fmt: skip
    return v.TopRow(**(fields | given))


def test_top_is_sorted_as_asked() -> None:
    traffic = v.TrafficView(requests=10, errors_5xx=3, errors_4xx=0, in_flight=1, response_seconds=0.1)
    rows = [
        top_row("a", cpu_percent=None, memory_bytes=None),
        top_row("b", traffic=traffic, requests_per_second=1.0),
        top_row("c", memory_bytes=300, requests_per_second=2.0),
        top_row("d", cpu_percent=9.0),
    ]
    orders = {sort: "".join(row.instance for row in sorted(rows, key=key)) for sort, key in SORTS.items()}
    assert orders == {"cpu": "dcba", "memory": "cbda", "requests": "cbad", "errors": "bacd", "name": "abcd"}


def test_what_a_service_takes_is_the_sum_of_what_is_known() -> None:
    slow = v.TrafficView(requests=10, errors_5xx=3, errors_4xx=0, in_flight=1, response_seconds=0.4)
    idle = v.TrafficView(requests=0, errors_5xx=0, errors_4xx=0, in_flight=0, response_seconds=0.0)
    whole = total(
        [top_row("a", traffic=slow), top_row("b", memory_limit=None, traffic=idle), top_row("c", threads=None)]
    )
    assert (whole.memory_bytes, whole.memory_limit, whole.threads) == (300, None, 2)
    assert whole.traffic is not None and (whole.traffic.requests, whole.traffic.response_seconds) == (10, 0.4)
    assert total([top_row("a", cpu_percent=None)]).cpu_percent is None


def test_apps(cli: Cli, server: Serving) -> None:
    assert cli("apps").out == (
        "APP   SERVICES  READY  GATEWAY                UPDATED  FILE\n"
        "shop         1    2/2  http://127.0.0.1:8080  1 h ago  /srv/shop/fourfold.yaml\n"
    )
    server.facade.apps_known = []
    assert cli("apps").err.startswith("no apps yet: start one with `fourfold up`")


def test_doctor(cli: Cli, server: Serving) -> None:
    assert cli("doctor").code == 0
    server.facade.checks.append(v.CheckView(name="bwrap", state="failed", message="is not there", hint="install it"))
    result = cli("doctor")
    assert (result.code, result.out) == (
        1,
        "CHECK    STATE   FOUND\nhaproxy  ok      HAProxy 2.6.12\nbwrap    failed  is not there\n  hint: install it\n",
    )
    assert json.loads(cli("doctor", "-o", "json").out)[1]["state"] == "failed"


def test_gc_and_version(cli: Cli, server: Serving) -> None:
    assert cli("gc").out == "removed 2 releases, 40 blobs; freed 50 MiB\n"
    result = cli("version")
    assert result.out.endswith("daemon 0.1.0 (pid 811)\nspawner 0.1.0 (pid 810)\n") and result.err == ""
    told = json.loads(cli("version", "-o", "json").out)
    assert told["daemon"] == {"version": "0.1.0", "pid": 811} and told["spawner"] == {"version": "0.1.0", "pid": 810}


def test_versions_that_differ(cli: Cli, server: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    server.facade.spawner_version = "0.0.9"
    result = cli("version")
    assert result.code == 0 and result.err.startswith("warning: the spawner is version 0.0.9 still: ")
    monkeypatch.setattr("fourfold.cli.commands.version.__version__", "0.2.0")
    result = cli("version")
    assert result.err.startswith("warning: the daemon is version 0.1.0, this command is 0.2.0: `fourfold daemon rest")
    monkeypatch.setattr("fourfold.cli.commands.version.__version__", "0.0.8")
    assert "version 0.1.0, newer than this command, 0.0.8: install that here too" in cli("version").err
    server.facade.fails["info"] = WorldError("cannot answer: disk gone")
    assert "daemon: cannot answer: disk gone\n" in cli("version").out


def test_version_without_a_daemon(cli: Cli) -> None:
    assert cli("version").out.endswith("daemon: none runs here\n")


def test_a_failure_of_the_world(cli: Cli, server: Serving) -> None:
    server.facade.fails["gc"] = WorldError("cannot clean up: disk gone", "look")
    result = cli("gc")
    assert (result.code, result.out, result.err) == (1, "", "error: cannot clean up: disk gone\nhint: look\n")


def test_validate_looks_for_what_the_file_names(cli: Cli, home: Path) -> None:
    text = "app: shop\nservices: {a: {source: ./there, run: x}, b: {source: ./gone.jar}}\n"
    (home / "work/fourfold.yaml").write_text(text + "gateway: {tls: {cert: c.pem, key: k.pem}}\n")
    (home / "work/there").mkdir()
    (home / "work/k.pem").write_text("")
    result = cli("validate")
    assert (result.code, result.out) == (2, "")
    assert f"services.b.source: {home}/work/gone.jar is not there\n" in result.err
    assert f"gateway.tls.cert: {home}/work/c.pem is not there\n" in result.err
    assert result.err.count("is not there") == 2
    assert [problem["path"] for problem in json.loads(cli("validate", "-o", "json").out)] == [
        "services.b.source",
        "gateway.tls.cert",
    ]
