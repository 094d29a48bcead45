"""status, explain: what is printed, exactly."""

from __future__ import annotations

import json

from fourfold.control import views as v
from fourfold.control.scaling.view import ScalingView
from tests.api import sample
from tests.api.serving import Serving
from tests.cli.conftest import Cli


def test_status(cli: Cli, server: Serving) -> None:
    server.facade.state = sample.status(
        sample.service("catalog"),
        sample.service(
            "orders",
            release=2,
            ready=1,
            deployment=v.DeploymentView(state="rolled-back", reason="exit code 3"),
            overrides={"instances": 2},
        ),
        sample.service("worker", ready=0, stopped=True, routes=[], instances=[], limits_missing={"memory": "not root"}),
        sample.service(
            "report",
            ready=0,
            instances=[sample.instance("shop.report-3-a", 3, state="crash-loop", exit=sample.exited())],
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
    old, new = (
        sample.instance("shop.catalog-3-k7f2", 3),
        sample.instance("shop.catalog-3-p0q1", 3, pattern="container"),
    )
    new = new.model_copy(update={"address": "10.177.0.5:8080", "pid": 4243})
    running = v.DeploymentView(state="running", reason=None)
    overrides = {"pattern": "container"}
    server.facade.state = sample.status(
        sample.service("catalog", pattern="container", overrides=overrides, deployment=running, instances=[old, new])
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
    server.facade.state = sample.status(
        sample.service("catalog").model_copy(update={"scaling": busy}),
        sample.service("orders").model_copy(update={"scaling": held}),
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


PAST = ("shop.orders-3-a", "shop.orders-2-b")
EXPLAINED = v.ExplainView(
    service="orders",
    well=False,
    summary="orders is not well: 0 of 1 instances of release 3 ready",
    findings=["shop.orders-3-a ended: exit code 3 (5 times in a row: a crash loop)"],
    what_to_do=["read its last lines: fourfold logs --previous orders"],
    deployment=v.DeploymentView(state="failed", reason="exit code 3"),
    exits=[v.PastExitView(**dict(sample.exited()), instance=name, asked=name == "shop.orders-2-b") for name in PAST],
    probe_error="connection refused",
    last_lines=["Traceback", "ModuleNotFoundError: No module named 'flask'", "w" * 1000],
    last_lines_of="shop.orders-3-a",
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
        "  08:00:00  shop.orders-3-a: exit code 3\n"
        "  08:00:00  shop.orders-2-b: exit code 3, when it was stopped\n"
        "last lines of shop.orders-3-a:\n"
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


def test_status_of_a_job(cli: Cli, server: Serving) -> None:
    last = sample.run_view()
    server.facade.state = sample.status(
        sample.service("idle", instances=[], routes=[], job=v.JobView(running=0, last=None, next_at=None)),
        sample.service("nightly", instances=[], routes=[], job=v.JobView(running=2, last=last, next_at=sample.AT)),
    )
    out = cli("status").out
    assert "idle     process        3      -  job " in out and "nightly  process        3      -  running " in out
    assert "idle: no run has ended yet\n" in out
    assert "nightly: 2 runs under way; the last one failed (exit code 7), 1 h ago; the next one at " in out
