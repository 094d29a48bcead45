"""up, deploy, plan, scale, rollback, restart, stop, down: what is asked for and shown."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any, get_args

import pytest

from fourfold.cli.commands.plan import MARKS
from fourfold.control import views as v
from fourfold.errors import ConflictError, UserError
from tests.api.serving import Serving
from tests.cli.changes import BAD, FILE, GOOD, asked
from tests.cli.conftest import Cli


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
    (["scale", "catalog=3"], "scale", ("shop", {"catalog": 3}, False, "alice")),
    (["scale", "catalog=auto"], "scale", ("shop", {"catalog": None}, False, "alice")),
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
    assert cli("scale", "a=1", "a=1").code == 0
    assert [call[1] for call in asked(server, "scale")] == [{"a": 1, "b": 0}, {"a": 1}]
    assert "cannot scale a: it is given two numbers" in cli("scale", "a=1", "b=2", "a=auto").err
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
    assert asked(server, "scale") == [("shop", {"catalog": 3, "orders": 4}, True, "alice")]
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
