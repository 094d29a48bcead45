"""compare: what is asked for, what is shown meanwhile, and how it ends."""

from __future__ import annotations

import json
import os
import pty
import select
import sys
from pathlib import Path
from typing import Any

import pytest

from fourfold.cli.comparison.following import ComparingSteps, bar
from fourfold.cli.options import Options
from fourfold.cli.printing.progress import progress
from fourfold.control import views as v
from fourfold.control.comparing.request import CompareRequest
from fourfold.cost.summary import summary
from tests.api import sample
from tests.api.serving import Serving, eventually
from tests.cli.changes import interrupted
from tests.cli.conftest import Cli
from tests.cost.comparing import PROCESS, SUBJECT, VM

COMPARISON = summary(SUBJECT, [PROCESS, VM])


def step(seq: int, kind: str, message: str, **data: Any) -> v.EventView:
    return sample.event(seq, kind, message, service="catalog", data=data)


def progressed(seq: int, pattern: str, what: str, done: int, left: float) -> v.EventView:
    said = {"pattern": pattern, "what": what, "done": done, "total": 4, "seconds_left": left}
    return step(seq, "compare.progress", f"{pattern}: {what}", **said)


HAPPENED = [
    progressed(1, "process", "builds and starts it", 0, 90.0),
    progressed(2, "vm", "builds and starts it", 1, 61.0),
    step(3, "compare.unavailable", "vm is not available: no QEMU here", pattern="vm", reason="no QEMU here"),
    progressed(4, "process", "restarts it", 1, 12.0),
]
DONE = sample.event(5, "operation.done", "compare of shop done in 90.0 s")
FAILED = sample.event(5, "operation.failed", "cannot compare catalog: it could be measured under no pattern")


@pytest.fixture
def compared(server: Serving) -> Serving:
    server.facade.happened = [*HAPPENED, DONE]
    server.facade.compared = COMPARISON
    return server


def asked(server: Serving) -> CompareRequest:
    (call,) = [arguments for method, arguments in server.facade.calls if method == "compare"]
    assert call[:2] == ("shop", "catalog")
    request: CompareRequest = call[2]
    return request


def test_what_is_asked_for(cli: Cli, compared: Serving, home: Path) -> None:
    (home / "asks").write_text("GET /items\n")
    words = ("--as", "vm,process", "--as", "vm", "--quick", "--rps", "2.5", "--duration", "20s")
    assert cli("compare", "catalog", "-a", "shop", *words, "--requests", str(home / "asks")).code == 0
    request = asked(compared)
    assert request.wanted == ("process", "vm")
    assert (request.quick, request.requests_per_second, request.duration_seconds) == (True, 2.5, 20.0)
    assert (request.requests, request.actor) == ("GET /items\n", "alice")


def test_what_is_shown(cli: Cli, compared: Serving, home: Path) -> None:
    result = cli("compare", "catalog", "-a", "shop", "--html", str(home / "report.html"))
    assert result.code == 0
    assert result.err.splitlines()[:4] == [f"catalog: {event.message}" for event in HAPPENED]
    assert "process *" in result.out
    assert "<html" in (home / "report.html").read_text()


def test_as_json(cli: Cli, compared: Serving) -> None:
    result = cli("compare", "catalog", "-a", "shop", "-o", "json", "-q")
    assert (json.loads(result.out), result.err) == (COMPARISON.model_dump(mode="json"), "")


def test_the_last_one_is_shown_again(cli: Cli, compared: Serving) -> None:
    assert "process *" in cli("compare", "catalog", "-a", "shop", "--last").out
    assert not [call for call in compared.facade.calls if call[0] == "compare"]


def test_one_that_fails(cli: Cli, compared: Serving) -> None:
    compared.facade.happened = [*HAPPENED, FAILED]
    result = cli("compare", "catalog", "-a", "shop")
    assert (result.code, result.out) == (1, "")
    assert "error: cannot compare catalog: it could be measured under no pattern\n" in result.err


def test_detached(cli: Cli, compared: Serving) -> None:
    result = cli("compare", "catalog", "-a", "shop", "--detach")
    assert (result.code, result.out) == (0, "op1\n")


@pytest.mark.parametrize(
    "words",
    [
        ("--as", "teleport"), ("--rps", "0"), ("--rps", "1e9"), ("--duration", "0.1s"), ("--html", "/nowhere/x.html"),
        ("--last", "--quick"), ("--last", "--as", "vm"),
    ],
)  # fmt: skip
def test_nonsense_is_refused(cli: Cli, compared: Serving, words: tuple[str, ...]) -> None:
    result = cli("compare", "catalog", "-a", "shop", *words)
    assert result.code == 2, result.err
    assert not [call for call in compared.facade.calls if call[0] == "compare"]


def test_ctrl_c_waits_until_all_is_gone(cli: Cli, server: Serving) -> None:
    server.facade.happened = HAPPENED
    result = interrupted(cli, server, "compare", "catalog", "-a", "shop")
    assert result.code == 130
    assert result.err.endswith("interrupted: taking away what it has started\ninterrupted: nothing of it is left\n")
    assert [arguments for method, arguments in server.facade.calls if method == "cancel"] == [("op1", "alice")]


def test_patterns_in_their_turn() -> None:
    time = 100.0
    steps = ComparingSteps(["process", "vm"], lambda: time)
    seen = []
    for event in HAPPENED:
        steps.apply(event)
        seen.append({name: (each.state, each.text) for name, each in steps.services.items()})
    assert seen[0] == {"process": ("busy", "builds and starts it"), "vm": ("waiting", "waiting")}
    assert seen[1]["process"] == ("waiting", "waits for its turn")
    assert seen[3] == {"process": ("busy", "restarts it"), "vm": ("failed", "is not available: no QEMU here")}
    assert steps.notice == "━━━━━━──────────────────  25%, about 15 s left"
    time = 110.0
    assert str(steps.notice).endswith("a few seconds left"), "time goes by without events"
    steps.apply(DONE)
    assert not steps.failed
    assert [steps.notice, steps.outcome] == [None, "done"]
    assert steps.services["process"].text == "measured"


def test_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is drawn changes in place, with time too."""
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal, os.fdopen(ours, "rb", buffering=0) as screen:
        monkeypatch.setattr(sys, "stderr", terminal)
        with progress(ComparingSteps(["process", "vm"], lambda: 0.0), Options()) as view:
            for event in HAPPENED:
                view.event(event)
        shown = bytearray()

        def is_drawn() -> bool:
            if select.select([screen], [], [], 0)[0]:
                shown.extend(screen.read(1 << 16))
            return all(text in shown.decode(errors="replace") for text in ("25%, about 15 s left", "no QEMU here"))

        eventually(is_drawn)


@pytest.mark.parametrize(
    ("share", "left", "shown"),
    [
        (0.0, 90.0, "────────────────────────   0%, about 2 min left"),
        (0.5, 41.0, "━━━━━━━━━━━━────────────  50%, about 45 s left"),
        (1.0, 0.0, "━━━━━━━━━━━━━━━━━━━━━━━━ 100%, a few seconds left"),
    ],
)
def test_the_bar(share: float, left: float, shown: str) -> None:
    assert bar(share, left) == shown
