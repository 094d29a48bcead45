"""logs, events, history: what is printed, exactly, and followed over restarts."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from fourfold.cli.link import following
from fourfold.control import views as v
from fourfold.errors import WorldError
from fourfold.store.tables.events import Which
from fourfold.supervise.model import LogLine
from tests.api import sample
from tests.api.serving import Serving, eventually, serving
from tests.cli.conftest import Cli

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
    result = cli("logs", "--previous")
    assert (result.code, result.out, result.err) == (0, "", "there is nothing of a run before the present one\n")
    result = cli("logs", "--since", "yesterday")
    assert result.code == 2
    assert "expected 10m, 2h or 2026-11-22T08:00:00Z, got 'yesterday'" in result.err


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
        assert process.wait(60) == 130


def test_following_what_does_not_come_back(cli: Cli, server: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "BACK_WITHIN", 0.0)

    def end() -> None:
        eventually(lambda: server.facade.following == 1)
        server.stop()

    thread = threading.Thread(target=end)
    thread.start()
    result = cli("logs", "-f", "-a", "shop")
    thread.join()
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("error: cannot go on: the daemon went away and is not back\n")
    assert "none runs there" in cli("logs", "-f", "-a", "shop").err


HAPPENED = [
    sample.event(1, "operation.started", "up of shop begins", actor="alice"),
    sample.event(2, "deploy.done", "catalog is done in 1.4 s", service="catalog"),
    sample.event(3, "operation.failed", "up of shop failed", at="2026-11-21T08:00:00Z"),
]


def asked(server: Serving, method: str) -> list[Any]:
    return [arguments for name, arguments in server.facade.calls if name == method]


def test_events(cli: Cli, server: Serving) -> None:
    server.facade.happened = HAPPENED
    assert cli("events", "-a", "shop").out == (
        "08:00:00  shop         operation.started   up of shop begins (by alice)\n"
        "08:00:00  catalog      deploy.done         catalog is done in 1.4 s\n"
        "2026-11-21 08:00:00  shop         operation.failed    up of shop failed\n"
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
    server.happen(sample.event(4, "operation.done", "done"))
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
        assert process.wait(60) == 130


def test_history(cli: Cli, server: Serving) -> None:
    release = v.ReleaseView(
        service="catalog",
        number=3,
        current=True,
        actor="alice",
        commit="abc123def456-dirty",
        message="new prices",
        created_at=sample.AT,
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


FAILED = v.FailedView(
    id="0aa9", service="web", source="s3", created_at=sample.AT, failed_at=sample.AT, attempts=3,
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
