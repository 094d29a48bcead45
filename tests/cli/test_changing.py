"""up, deploy, plan, scale, rollback, restart, stop, down: what is asked for, shown, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any, get_args

import pytest

from fourfold.cli.commands.plan import MARKS
from fourfold.control import stagewords
from fourfold.control import views as v
from fourfold.errors import ConflictError, Problem, SpecError, UserError
from fourfold.plan import model as m
from tests.api import sample
from tests.api.serving import Serving, eventually
from tests.cli.conftest import Cli
from tests.store.samples import deployment

FILE = """\
app: shop
services:
  catalog: {source: ./catalog, run: python app.py, instances: 2}
  orders: {source: ./catalog, run: python orders.py}
  docs: {source: ./docs, run: python docs.py}
"""


@pytest.fixture
def app(home: Path) -> Path:
    work = home / "work"
    (work / "fourfold.yaml").write_text(FILE)
    for name, text in (("catalog", "print(1)"), ("docs", "hello")):
        (work / name).mkdir()
        (work / name / "app.py").write_text(text)
    return work


def step(seq: int, kind: str, message: str, service: str | None = None, **data: Any) -> v.EventView:
    instance = data.pop("instance", None)
    return sample.event(seq, kind, message, service=service, instance=instance, data=data)


GOOD = [
    step(1, "operation.started", "up of shop begins"),
    step(2, "build.log", "Collecting flask", "catalog"),
    step(3, "deploy.started", "deploys release 3", "catalog"),
    step(4, "deploy.done", "catalog is done in 1.4 s", "catalog"),
    step(5, "operation.done", "up of shop done in 1.5 s"),
]
BAD = [
    step(1, "deploy.failed", "catalog release 4 failed: exit code 3", "catalog", reason="exit code 3"),
    step(2, "deploy.rolled-back", "catalog serves release 3 as before", "catalog"),
    step(3, "operation.failed", "up of shop failed: catalog: exit code 3", failed={"catalog": "exit code 3"}),
]


def asked(server: Serving, method: str) -> list[Any]:
    return [arguments for name, arguments in server.facade.calls if name == method]


def test_up(cli: Cli, server: Serving, app: Path) -> None:
    server.facade.happened = GOOD
    result = cli("up", "-m", "new prices")
    assert result.code == 0, result.err
    assert result.out == ("shop is up: 1 service, 2 instances ready\n  catalog  http://127.0.0.1:8080/catalog\n")
    assert result.err == (
        "catalog, orders: packing\n"
        "docs: packing\n"
        "catalog, orders: sent\n"
        "docs: sent\n"
        "shop: up of shop begins\n"
        "catalog | Collecting flask\n"
        "catalog: deploys release 3\n"
        "catalog: catalog is done in 1.4 s\n"
        "unchanged: orders, docs\n"
        "shop: up of shop done in 1.5 s\n"
        "next: fourfold status, fourfold logs -f, fourfold explain SERVICE\n"
    )
    [(request,)] = asked(server, "up")
    assert request.spec["services"]["catalog"]["instances"] == 2
    assert set(request.sources) == {"catalog", "orders", "docs"}
    assert request.sources["catalog"] == request.sources["orders"] != request.sources["docs"]
    assert (request.services, request.file, request.actor) == (None, str(app / "fourfold.yaml"), "alice")
    assert (request.message, request.prune, request.reset, request.commit) == ("new prices", False, False, None)
    assert len(asked(server, "offer_source")) == 2, "a source that two services share is packed once"


def test_only_missing_blobs_are_sent(cli: Cli, server: Serving, app: Path) -> None:
    server.facade.happened = GOOD
    cli("up")
    assert asked(server, "receive_blobs") == []
    [(manifest,), _] = asked(server, "offer_source")
    server.facade.missing = [entry["sha256"] for entry in manifest["entries"]]
    (app / "docs/app.py").write_text("print(1)")
    result = cli("up")
    assert server.facade.blobs == {server.facade.missing[0]: b"print(1)"}
    assert "docs: sending 8 B in 1 file\n" in result.err


def test_the_service_file_is_no_part_of_a_source(cli: Cli, server: Serving, app: Path) -> None:
    (app / "other.yaml").write_text("app: shop\nservices: {all: {source: ., run: 'true'}}\n")
    (app / "other.staging.yaml").write_text("services: {all: {instances: 3}}\n")
    server.facade.happened = GOOD
    assert cli("up", "-f", "other.yaml", "-e", "staging").code == 0
    [(manifest,)] = asked(server, "offer_source")
    assert {entry["path"] for entry in manifest["entries"]} == {"catalog/app.py", "docs/app.py"}
    assert asked(server, "up")[0][0].spec["services"]["all"]["instances"] == 3


def test_what_cannot_be_packed_is_told_of_all_sources_at_once(cli: Cli, server: Serving, app: Path) -> None:
    (app / "catalog/passwords").symlink_to("/etc/shadow")
    os.mkfifo(app / "docs/pipe")
    result = cli("up")
    assert result.code == 2
    assert "/catalog/passwords'" in result.err and "docs/pipe': it is a pipe" in result.err
    assert asked(server, "up") == []


def test_deploy_some(cli: Cli, server: Serving, app: Path) -> None:
    server.facade.happened = GOOD
    assert cli("deploy", "docs", "docs", "--reset").code == 0
    [(request,)] = asked(server, "up")
    assert (request.services, set(request.sources), request.reset) == (["docs"], {"docs"}, True)
    result = cli("deploy", "nix")
    assert (result.code, result.out) == (2, "")
    assert "cannot find nix in" in result.err
    assert "services are catalog, orders, docs" in result.err


def test_commit_and_dirt_are_found(cli: Cli, server: Serving, app: Path) -> None:
    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-c", "user.name=A", "-c", "user.email=a@b", *arguments],
            cwd=app, check=True, capture_output=True, text=True,
        ).stdout.strip()  # fmt: skip

    server.facade.happened = GOOD
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "one")
    head = git("rev-parse", "--short=12", "HEAD")
    cli("up")
    (app / "docs/app.py").write_text("changed")
    cli("up")
    assert [request.commit for (request,) in asked(server, "up")] == [head, f"{head}-dirty"]


def test_a_cause_is_told_once_when_an_up_fails(cli: Cli, server: Serving, app: Path) -> None:
    """What waited for it is named, and has nothing to add."""
    why = "not begun: shop.catalog failed, and it depends on that"
    server.facade.happened = [
        step(1, "deploy.failed", "release 4 failed: exit code 3", "catalog", reason="exit code 3"),
        step(2, "deploy.failed", f"release 1 failed: {why}", "docs", reason=why),
        step(3, "operation.failed", "up of shop failed: …", failed={"catalog": "exit code 3", "docs": why}),
    ]
    for name, reason in (("catalog", "exit code 3"), ("docs", why)):
        server.facade.explained[name] = v.ExplainView(
            service=name,
            well=False,
            summary=f"{name} is not well",
            findings=[f"the deployment of release 4 failed: {reason}; nothing of it was kept"],
            what_to_do=["mend it"],
            deployment=v.DeploymentView(state="failed", reason=reason),
            exits=[],
            probe_error=None,
            last_lines=[],
        )
    told = cli("up").err.split("up of shop begins")[-1]
    assert told.endswith(
        "catalog: release 4 failed: exit code 3\n"
        f"docs: release 1 failed: {why}\n"
        "catalog:\n"
        "  the deployment of release 4 failed; nothing of it was kept\n"
        "  do: mend it\n"
        f"error: cannot finish the up of shop: catalog failed: exit code 3; docs {why}\n"
        "hint: see: fourfold explain catalog -a shop\n"
    )


def test_a_failed_up_says_why(cli: Cli, server: Serving, app: Path) -> None:
    server.facade.happened = BAD
    server.facade.explained["catalog"] = v.ExplainView(
        service="catalog",
        well=False,
        summary="catalog is not well",
        findings=["release 4 ended with exit code 3"],
        what_to_do=["mend it"],
        deployment=v.DeploymentView(state="rolled-back", reason="exit code 3"),
        exits=[],
        probe_error=None,
        last_lines=["Traceback", "KeyError: 'x'"],
    )
    result = cli("up", "-q")
    assert (result.code, result.out) == (1, "")
    assert result.err == (
        "catalog:\n"
        "  release 4 ended with exit code 3\n"
        "  last lines:\n"
        "  | Traceback\n"
        "  | KeyError: 'x'\n"
        "  do: mend it\n"
        "error: cannot finish the up of shop: catalog rolled back: exit code 3\n"
        "hint: see: fourfold explain catalog -a shop\n"
    )
    answer = json.loads(cli("up", "-q", "-o", "json").out)
    assert (answer["state"], answer["failures"][0]["last_lines"][0]) == ("failed", "Traceback")
    assert answer["status"]["app"] == "shop"


def test_a_build_that_fails_shows_its_last_lines(cli: Cli, server: Serving, app: Path) -> None:
    lines = [step(n, "build.log", f"line {n}", "docs") for n in range(1, 30)]
    server.facade.happened = [
        *lines,
        step(30, "build.failed", "cannot build docs: exit code 1", "docs"),
        step(31, "operation.failed", "cannot build docs: exit code 1", hint="look at it"),
    ]
    result = cli("up", "-q")
    assert result.code == 1
    assert "  | line 29\n" in result.err
    assert "line 14\n" not in result.err
    assert result.err.endswith("error: cannot build docs: exit code 1\nhint: look at it\n")


def test_a_build_that_fails_does_not_show_what_runs(cli: Cli, server: Serving, app: Path) -> None:
    server.facade.happened = [
        step(1, "build.log", "syntax error", "docs"),
        step(2, "build.failed", "cannot build docs: exit code 1", "docs"),
        step(3, "operation.failed", "cannot build docs: exit code 1"),
    ]
    server.facade.explained["docs"] = v.ExplainView(
        service="docs", well=True, summary="docs is well", findings=[], what_to_do=[], exits=[], probe_error=None,
        deployment=v.DeploymentView(state="done", reason=None), last_lines=["listening on 8080"],
    )  # fmt: skip
    result = cli("up", "-q")
    assert "  | syntax error\n" in result.err
    assert "listening" not in result.err


def test_up_says_what_is_not_ready(cli: Cli, server: Serving, app: Path) -> None:
    """What has not changed is not waited for: the host has just started, the service ends again and again, or an
    earlier `up` of it is at a step."""
    server.facade.happened = [GOOD[0], GOOD[-1]]
    at = deployment(service="orders", state="running", step_at=1.0)
    step = stagewords.view(at, m.Rollout(steps=(m.Step(0),)), (m.Answered(), m.Answered()), 2.0)
    deploys = {"deployment": v.DeploymentView(state="running", reason=None, step=step)}
    orders = sample.service("orders").model_copy(update=deploys)
    server.facade.state.services = [sample.service("catalog", ready=0), orders]
    result = cli("up")
    assert (result.code, result.out.splitlines()[0]) == (0, "shop is up: 2 services, 2 of 4 instances ready")
    waits = "waits for `fourfold deploy orders --promote` (or `--abort`)"
    assert f"orders: still being deployed, beside the release that serves; {waits}\n" in result.err
    assert result.err.endswith("next: fourfold status, fourfold logs -f, fourfold explain catalog\n")


def test_up_for_programs(cli: Cli, server: Serving, app: Path) -> None:
    server.facade.happened = GOOD
    answer = json.loads(cli("up", "-o", "json").out)
    assert (answer["operation"]["id"], answer["state"], answer["failures"]) == ("op1", "done", [])


def test_detached(cli: Cli, server: Serving, app: Path) -> None:
    result = cli("up", "--detach", "-q")
    assert (result.code, result.out) == (0, "op1\n")
    assert asked(server, "events") == []


def test_what_it_waits_for_is_said(cli: Cli, server: Serving, app: Path) -> None:
    server.facade.happened = GOOD
    server.facade.waiting_for = "up by bob, running for 12 s"
    assert "waiting for up by bob, running for 12 s; it ends soon\n" in cli("restart").err


def test_cancel(cli: Cli, server: Serving, app: Path) -> None:
    result = cli("cancel", "op1")
    assert (result.code, result.err) == (0, "cancelled op1: nothing was changed\n")
    assert asked(server, "cancel") == [("op1", "alice")]
    server.facade.fails["cancel"] = ConflictError("cannot cancel the up of shop: it is being deployed already", "wait")
    result = cli("cancel", "op1")
    assert (result.code, result.err.splitlines()[-1]) == (2, "hint: wait")


def test_a_timeout_ends_the_waiting_only(cli: Cli, server: Serving, app: Path) -> None:
    result = cli("restart", "--timeout", "200ms")
    assert result.code == 1
    assert "it takes longer than 0.2 s" in result.err
    assert "fourfold events -f --operation op1" in result.err


def test_a_refused_file(cli: Cli, server: Serving, app: Path) -> None:
    (app / "fourfold.yaml").write_text("app: shop\nservices: {web: {prot: 1}}\n")
    result = cli("up")
    assert (result.code, server.facade.calls) == (2, [])
    assert result.err.startswith("error: cannot use fourfold.yaml: 1 problem\n  fourfold.yaml:2:")


def test_problems_that_the_daemon_finds(cli: Cli, server: Serving, app: Path) -> None:
    server.facade.fails["up"] = SpecError([Problem("services.a.route", "is taken", "fourfold.yaml", 3, 1)])
    result = cli("up", "-q")
    assert result.code == 2
    assert result.err.endswith("  fourfold.yaml:3:1: services.a.route: is taken\n")


def test_a_file_of_another_app(cli: Cli, server: Serving, app: Path) -> None:
    result = cli("up", "-a", "other")
    assert result.code == 2
    assert "it describes shop" in result.err


CHANGED = v.ChangeView(
    service="catalog",
    action="deploy",
    reasons=["source changed", "env.X changed"],
    release=3,
    instances=2,
    overrides={"instances": 4},
)
KEPT = v.ChangeView(service="docs", action="keep", reasons=[], release=1, instances=1, overrides={})
NEW = v.ChangeView(service="orders", action="create", reasons=[], release=None, instances=1, overrides={})


def test_plan(cli: Cli, server: Serving, app: Path) -> None:
    server.facade.changes = [CHANGED, KEPT, NEW]
    result = cli("plan")
    assert (result.code, result.err) == (0, "")
    assert result.out == (
        "   SERVICE  ACTION  WHY\n"
        "~  catalog  deploy  source changed, env.X changed (release 3 now)\n"
        "+  orders   create  1 instance\n"
        "unchanged: docs\n"
        "catalog keeps what a command set: instances 4 (`fourfold up --reset` forgets)\n"
    )
    assert asked(server, "offer_source"), "whether a source can be built is part of the plan"
    assert asked(server, "plan")[0][0].sources.keys() == {"catalog", "orders", "docs"}
    assert len(json.loads(cli("plan", "-o", "json").out)["changes"]) == 3


def test_plan_has_a_mark_for_every_action() -> None:
    assert set(MARKS) | {"keep"} == set(get_args(v.Action))


def test_detailed_exit_codes(cli: Cli, server: Serving, app: Path) -> None:
    server.facade.changes = [KEPT]
    assert cli("plan", "--detailed-exitcode", "--bogus").code == 1
    assert cli("plan", "--bogus").code == 2
    result = cli("plan", "--detailed-exitcode")
    assert (result.code, result.out) == (0, "nothing to do\nunchanged: docs\n")
    server.facade.changes = [NEW]
    assert cli("plan", "--detailed-exitcode").code == 2
    server.facade.fails["plan"] = UserError("cannot plan: no")
    result = cli("plan", "--detailed-exitcode")
    assert (result.code, result.err) == (1, "error: cannot plan: no\n")


SIMPLE: list[tuple[list[str], str, Any]] = [
    (["scale", "catalog=3"], "scale", ("shop", "catalog", 3, False, "alice")),
    (["scale", "catalog=auto"], "scale", ("shop", "catalog", None, False, "alice")),
    (["rollback", "catalog"], "rollback", ("shop", "catalog", None, "alice")),
    (["rollback", "catalog", "--to", "2"], "rollback", ("shop", "catalog", 2, "alice")),
    (["restart"], "restart", ("shop", [], "alice")),
    (["restart", "a", "b"], "restart", ("shop", ["a", "b"], "alice")),
    (["stop", "a"], "stop", ("shop", ["a"], "alice")),
    (["down", "-y"], "down", ("shop", False, "alice")),
    (["-y", "down", "--purge"], "down", ("shop", True, "alice")),
]


@pytest.mark.parametrize(("arguments", "method", "call"), SIMPLE, ids=[" ".join(case[0]) for case in SIMPLE])
def test_simple_changes(cli: Cli, server: Serving, arguments: list[str], method: str, call: Any) -> None:
    server.facade.happened = GOOD
    result = cli(*arguments)
    assert (result.code, result.out) == (0, ""), result.err
    assert asked(server, method) == [call]


def test_several_are_scaled_or_none(cli: Cli, server: Serving) -> None:
    server.facade.happened = GOOD
    assert cli("scale", "a=1", "b=0").code == 0
    assert [call[1:3] for call in asked(server, "scale")] == [("a", 1), ("b", 0)]
    server.facade.calls.clear()
    for wrong in ("a", "a=", "=1", "a=-1", "a=1.5", "a=10001", "a=²"):
        result = cli("scale", "b=1", wrong)
        assert result.code == 2
        assert "expected SERVICE=N" in result.err
    assert server.facade.calls == []


def test_scale_save(cli: Cli, server: Serving, app: Path) -> None:
    """Only once it is done, and not a character besides."""
    server.facade.happened = GOOD
    file = app / "fourfold.yaml"
    file.chmod(0o640)
    result = cli("scale", "catalog=3", "orders=4", "--save")
    assert result.code == 0, result.err
    assert result.err.splitlines()[-1] == "wrote services.orders.instances: 4 into fourfold.yaml"
    assert file.read_text() == FILE.replace("instances: 2", "instances: 3").replace(
        "orders.py}", "orders.py, instances: 4}"
    )
    assert file.stat().st_mode & 0o777 == 0o640 and not list(app.glob(".new*"))
    assert asked(server, "scale")[0] == ("shop", "catalog", 3, True, "alice")
    assert cli("scale", "catalog=3", "--save").err.endswith("fourfold.yaml has services.catalog.instances: 3 already\n")

    server.facade.happened = BAD
    assert cli("scale", "catalog=5", "--save").code == 1
    assert "instances: 3" in file.read_text()


def test_scale_save_is_refused_before_anything_is_asked(cli: Cli, server: Serving, app: Path) -> None:
    (app / "fourfold.staging.yaml").write_text("services:\n  catalog:\n    instances: 1\n")
    result = cli("-e", "staging", "scale", "orders=2", "catalog=3", "--save")
    assert (result.code, result.err) == (
        2,
        "error: cannot save services.catalog.instances in fourfold.yaml: fourfold.staging.yaml has it too, "
        "and wins\nhint: change it in fourfold.staging.yaml, line 3\n",
    )
    assert "cannot save services.nothing.instances" in cli("scale", "nothing=3", "--save").err
    assert "catalog=auto is what the file says already" in cli("scale", "catalog=auto", "--save").err
    assert asked(server, "scale") == [] and (app / "fourfold.yaml").read_text() == FILE


def test_moving(cli: Cli, server: Serving, app: Path) -> None:
    """An override of those that are named, and the file as it was."""
    server.facade.happened = GOOD
    assert cli("deploy", "catalog", "--as", "container").code == 0
    assert cli("up", "--as", "process").code == 0
    cli("plan", "docs", "--as", "container")
    deploy, up = (request for (request,) in asked(server, "up"))
    assert (deploy.services, deploy.overrides) == (["catalog"], {"catalog": {"pattern": "container"}})
    assert "pattern" not in deploy.spec["services"]["catalog"]
    assert up.overrides == {name: {"pattern": "process"} for name in ("catalog", "orders", "docs")}
    [(plan,)] = asked(server, "plan")
    assert plan.overrides == {"docs": {"pattern": "container"}}
    assert (app / "fourfold.yaml").read_text() == FILE

    result = cli("deploy", "catalog", "--as", "group")
    assert result.code == 2 and "'process', 'shared', 'container'" in result.err
    result = cli("deploy", "catalog", "--save")
    assert result.code == 2 and "it writes what --as says: give --as too" in result.err


def test_moving_for_good(cli: Cli, server: Serving, app: Path) -> None:
    """The file says so in the request already, and on disk once it is done."""
    file = app / "fourfold.yaml"
    server.facade.happened = BAD
    assert cli("deploy", "catalog", "--as", "container", "--save").code == 1
    assert file.read_text() == FILE
    server.facade.happened = GOOD
    result = cli("deploy", "catalog", "--as", "container", "--save")
    assert result.code == 0, result.err
    assert "wrote services.catalog.pattern: container into fourfold.yaml\n" in result.err
    assert file.read_text() == FILE.replace("instances: 2", "instances: 2, pattern: container")
    request = asked(server, "up")[-1][0]
    patterns = {name: service.get("pattern", "process") for name, service in request.spec["services"].items()}
    assert patterns == {"catalog": "container", "orders": "process", "docs": "process"}
    assert request.overrides == {"catalog": {"pattern": "container"}}


def test_a_ready_made_image_has_no_source(cli: Cli, server: Serving, app: Path) -> None:
    (app / "fourfold.yaml").write_text(
        "app: shop\nservices: {web: {image: 'docker://nginx', pattern: container, source: .}}\n"
    )
    server.facade.happened = GOOD
    assert cli("validate").code == 0
    assert cli("up").code == 0
    [(request,)] = asked(server, "up")
    assert request.sources == {} and asked(server, "offer_source") == []


def test_down_asks(cli: Cli, server: Serving) -> None:
    result = cli("down", "--purge")
    assert (result.code, asked(server, "down")) == (2, [])
    assert result.err == (
        'error: cannot ask "Stop catalog of shop and delete its volumes, secrets and history?": '
        "this is not a terminal\n"
        "hint: say yes beforehand with -y\n"
    )


def test_a_conflict(cli: Cli, server: Serving) -> None:
    server.facade.fails["scale"] = ConflictError("cannot scale: no", "wait")
    result = cli("scale", "a=1")
    assert (result.code, result.err) == (2, "error: cannot scale: no\nhint: wait\n")


@pytest.mark.parametrize(
    ("refused", "said"),
    [
        (None, "interrupted: nothing was changed\n"),
        (
            ConflictError("cannot cancel the up of shop: it is being deployed already"),
            "interrupted: the up of shop goes on in the daemon\nfollow it: fourfold events -f --operation op1\n",
        ),
    ],
    ids=["it builds", "it deploys"],
)
def test_ctrl_c_cancels_what_has_changed_nothing(
    cli: Cli, server: Serving, app: Path, refused: ConflictError | None, said: str
) -> None:
    if refused is not None:
        server.facade.fails["cancel"] = refused

    def interrupt() -> None:
        eventually(lambda: server.facade.following == 1)
        signal.pthread_kill(main, signal.SIGINT)

    main = threading.main_thread().ident or 0
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where tests run in the background
    thread = threading.Thread(target=interrupt)
    thread.start()
    result = cli("up")
    thread.join()
    signal.signal(signal.SIGINT, before)
    assert result.code == 130
    assert result.err.endswith(said)
    assert asked(server, "cancel") == [("op1", "alice")]


def test_a_daemon_that_is_replaced_meanwhile(cli: Cli, server: Serving, app: Path) -> None:
    """The stream ends with the old daemon; the command goes on with the new one, where it was."""
    from tests.api.serving import Serving as Next

    server.facade.happened = GOOD[:2]
    successors: list[Next] = []

    def replace() -> None:
        eventually(lambda: server.facade.following == 1)
        server.stop()
        successor = Next(server.socket)
        successors.append(successor)
        successor.happen(*GOOD)

    thread = threading.Thread(target=replace)
    thread.start()
    try:
        result = cli("restart")
    finally:
        thread.join()
        successors[0].stop()
    assert result.code == 0
    assert result.err.count("Collecting flask") == 1
    assert "up of shop done" in result.err
