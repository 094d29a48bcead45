"""Operations: how they are waited for, what is shown meanwhile, how they end and what is told of a failure."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from fourfold.control import views as v
from fourfold.control.deploying import stagewords
from fourfold.errors import ConflictError, Problem, SpecError, WorldError
from fourfold.plan import model as m
from tests.api import sample
from tests.api.serving import Serving, eventually
from tests.cli.changes import BAD, GOOD, asked, interrupted, step
from tests.cli.conftest import Cli
from tests.store.samples import deployment


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


def test_a_store_that_takes_no_more_is_told(
    cli: Cli, server: Serving, app: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a while: what was refused may be taken soon."""
    monkeypatch.setattr("fourfold.cli.operation.BACK_WITHIN", 0.2)
    server.facade.happened = GOOD[:2]
    server.facade.after_items = WorldError("cannot write the store: its disk is full")
    result = cli("restart")
    assert result.code == 1
    assert "cannot see the restart of shop end: cannot write the store: its disk is full" in result.err
    assert "fourfold events -f --operation op1" in result.err
    assert result.err.count("Collecting flask") == 1, "it is not told again when it is asked again"


def test_refusals_with_a_store_that_is_well_in_between_end_nothing(
    cli: Cli, server: Serving, app: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seconds in (("AGAIN", 0.01), ("BACK_WITHIN", 0.0), ("WELL", -1.0)):
        monkeypatch.setattr(f"fourfold.cli.operation.{name}", seconds)
    server.facade.after_items = WorldError("cannot write the store: another program holds it locked")

    def mend() -> None:
        eventually(lambda: len(asked(server, "events")) > 3)
        server.facade.happened, server.facade.after_items = GOOD, None

    thread = threading.Thread(target=mend)
    thread.start()
    result = cli("restart")
    thread.join()
    assert result.code == 0, result.err


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
    result = interrupted(cli, server, "up")
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
