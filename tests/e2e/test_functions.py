"""Functions end to end: events by the command, what ends badly, who dies when, what it costs; the shop as functions."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.e2e.home import Home
from tests.e2e.test_moving import ASKED, SHOP, placed_order
from tests.support.load import Load
from tests.support.runtimes import python
from tests.support.transcript import play
from tests.support.wait import until

pytestmark = pytest.mark.patterns("function")

FILE = """\
app: app
services:
  f:
    source: ./f
    pattern: function
    runtime: PYTHON
    route: {path: /f}
    function: {handler: app.handler, timeout: 10s, concurrency: 4, tmp: 16Mi}
    env: {GREETING: hello}
    resources: {memory: 96Mi, pids: 60}
gateway: {listen: "LISTEN"}
""".replace("PYTHON", python())
APP = """\
import os, threading, time

def handler(event, context):
    do = event.get("do", "")
    if do == "fail":
        raise ValueError("as told")
    if do == "exit":
        os._exit(3)
    if do == "sleep":
        time.sleep(60)
    if do == "hog":
        hoard = [b"x" * 2**20 for _ in range(500)]
    if do == "fork":
        for _ in range(2000):
            if os.fork() == 0:
                time.sleep(600)
    if do == "fill":
        with open("/tmp/much", "wb") as file:
            while True:
                file.write(b"x" * 2**20)
    if do == "flood":
        for number in range(10_000):
            print("line", number, "x" * 80)
    return {"greeting": os.environ["GREETING"], "name": context.function_name, "event": event}
"""


@pytest.fixture(scope="module")
def served() -> Iterator[Home]:
    """With a Python handler, deployed once: each test leaves it well."""
    home = Home(pattern="function")
    try:
        file = home.app(FILE)
        (file.parent / "f").mkdir()
        (file.parent / "f" / "app.py").write_text(APP)
        home.run("up", "-f", str(file))
        yield home
    finally:
        home.close()


def invoke(home: Home, *arguments: str, code: int | None = 0, **event: Any) -> subprocess.CompletedProcess[str]:
    return home.run("invoke", "-a", "app", "f", "-d", json.dumps(event), *arguments, code=code)


def costs(home: Home) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(home.run("cost", "-a", "app", "-o", "json").stdout)["functions"][0]
    return found


def is_well(home: Home) -> None:
    answer = json.loads(invoke(home, n=1).stdout)
    assert answer == {"greeting": "hello", "name": "app-f", "event": {"n": 1}}


def test_a_session(served: Home, pattern: str) -> None:
    before = costs(served)["requests"]
    is_well(served)
    told = invoke(served, "--tail", a=1)
    assert re.search(r"START RequestId: [0-9a-f-]{36} Version: \$LATEST\n", told.stderr)
    assert re.search(r"REPORT RequestId: .*\tBilled Duration: \d+ ms\tMemory Size: 96 MB\t", told.stderr)
    failed = invoke(served, do="fail", code=1)
    assert json.loads(failed.stdout)["errorType"] == "ValueError" and "as told" in failed.stdout
    assert served.run("invoke", "-a", "app", "f", "-d", "{", code=2).stdout == ""
    told = served.run("explain", "-a", "app", "f")
    assert re.search(r"1 of \d+ events failed since its invokers started: 1 with an error", told.stdout)
    event = served.get("/f/x?y=1").json()["event"]
    assert (event["rawPath"], event["rawQueryString"], event["version"]) == ("/f/x", "y=1", "2.0")
    taken = costs(served)
    assert taken["requests"] - before == 4 and taken["failed"] >= 1 and taken["gb_seconds"] > 0
    (instance,) = served.instances("f")
    assert instance["sandboxes"]["states"] and instance["sandboxes"]["waiting"] == 0
    with served.api() as api:
        metrics = api.get("/metrics").text
    assert re.search(r'^fourfold_function_invocations_total\{.*ending="error"\} 1$', metrics, re.MULTILINE)
    assert re.search(r'^fourfold_function_sandboxes\{.*state="\w+"\} [1-9]', metrics, re.MULTILINE)
    assert "cannot exec in" in served.run("exec", "-a", "app", "f", "--", "ls", code=2).stderr
    beside = served.run("run", "-a", "app", "f", "--", "sh", "-c", "echo $GREETING; ls", code=0).stdout
    assert beside.splitlines() == ["hello", "app.py"]
    assert "REPORT RequestId" in served.run("logs", "-a", "app", "f").stdout
    row = json.loads(served.run("top", "-a", "app", "-o", "json").stdout)
    assert next(each for each in row if each["service"] == "f")["processes"] >= 3


BAD = {
    "sleep": "Task timed out after 10.00 seconds",
    "exit": "Runtime exited with error: exit status 3",
    "hog": "Runtime exited with error: signal: killed",
    "fork": "",
    "fill": "No space left on device",
    "flood": None,
}


@pytest.mark.parametrize("do", list(BAD))
def test_what_a_handler_does_stays_in_its_sandbox(served: Home, pattern: str, do: str) -> None:
    """The documented error, the invoker goes on, the next event is served."""
    (before,) = served.instances("f")
    answer = invoke(served, do=do, code=None)
    words = BAD[do]
    assert answer.returncode == (0 if words is None else 1), answer.stdout + answer.stderr
    assert (words or "") in answer.stdout
    is_well(served)
    (after,) = served.instances("f")
    assert (after["pid"], after["restarts"]) == (before["pid"], 0)


def members(home: Home, pid: int) -> set[psutil.Process]:
    """All processes of an instance."""
    with suppress(psutil.NoSuchProcess):
        return {psutil.Process(pid), *psutil.Process(pid).children(recursive=True)}
    return set()


def test_the_invoker_is_killed_while_events_run(served: Home, pattern: str) -> None:
    """Who waits for an answer gets an error; nothing is left behind; the next event is served; what was answered is
    billed, once."""
    is_well(served)
    begun = costs(served)["requests"]
    (instance,) = served.instances("f")
    waiting = served.start("invoke", "-a", "app", "f", "-d", '{"do": "sleep"}')
    with ExitStack() as held:
        client = held.enter_context(httpx.Client(timeout=30))
        busy = lambda: served.instances("f")[0]["sandboxes"]["states"].get("busy")  # noqa: E731
        until(busy, 60, "the event to be begun")
        there = members(served, instance["pid"])
        assert len(there) >= 3
        os.kill(instance["pid"], signal.SIGKILL)
        output, _ = waiting.communicate(timeout=60)
        assert waiting.returncode == 1 and "cannot tell how the event of f ended" in output
        until(lambda: client.get(f"http://127.0.0.1:{served.port}/f").status_code == 200, 60, "it to serve again")
    until(lambda: not any(process.is_running() for process in there), 60, "what was there to be gone")
    is_well(served)
    served.kill_daemon()
    assert served.get("/f").status_code == 200, "it serves without a daemon"
    served.start_daemon()
    is_well(served)
    (after,) = served.instances("f")
    assert after["restarts"] == 1 and after["exit"]["signal"] == 9
    assert costs(served)["requests"] == begun + 4


def test_a_handler_elsewhere(served: Home, pattern: str) -> None:
    """The same handler as a process: the same event, the same answer."""
    file = str(served.root / "app" / "fourfold.yaml")
    served.run("deploy", "-f", file, "f", "--as", "process")
    is_well(served)
    assert json.loads(invoke(served, do="fail", code=1).stdout)["errorType"] == "ValueError"
    assert served.get("/f/x").json()["event"]["rawPath"] == "/f/x"
    served.run("up", "-f", file, "--reset")
    assert served.service("f")["pattern"] == "function"
    is_well(served)


WEB = ("catalog", "orders", "storefront", "docs")
"""Services of the shop: in Python, Java and Node, and one of files."""
REFUSED = {
    "volumes: [{name: d, path: /d}]": "cannot give volume d to a function: its sandboxes keep nothing",
    "secrets: [{K: {name: k, file: /run/secrets/k}}]": "cannot give secret k to a function as a file",
}


@pytest.mark.parametrize("line", list(REFUSED))
def test_what_cannot_be_one_is_refused_before_anything_changes(served: Home, pattern: str, line: str) -> None:
    file = served.root / "app" / "fourfold.yaml"
    text = file.read_text()
    served.run("secrets", "set", "k", "-a", "app", stdin="v")
    try:
        asked = text.replace("pattern: function", "pattern: process")
        file.write_text(asked.replace("    env:", f"    {line}\n    env:"))
        refused = served.run("deploy", "-f", str(file), "f", "--as", "function", code=2)
    finally:
        file.write_text(text)
    assert REFUSED[line] in refused.stderr and "hint: " in refused.stderr
    assert served.service("f")["deployment"]["state"] == "done"


def test_the_session_of_the_readme_works_as_printed(home: Home, pattern: str) -> None:
    page = (Path(__file__).parents[2] / "README.md").read_text()
    section = re.search(r"^## As a function\n(.*?)^## ", page, re.DOTALL | re.MULTILINE)
    assert section is not None
    folder = home.root / "session"
    folder.mkdir()
    tools = Path(sys.executable).parent
    environ = home.environ | {"PATH": f"{tools}:{os.environ['PATH']}", "AWS_PAGER": "", "HOME": str(home.root)}
    play(section[1], folder, environ)


@pytest.mark.timeout(600)
def test_the_web_services_of_the_shop(home: Home, pattern: str) -> None:
    """In four languages, there and back under load: no request is lost, no line of code is changed."""
    home.environ |= {"SHOP_PORT": str(home.port), "SHOP_BANNER": "Today: pears"}
    refused = home.run("deploy", "-f", SHOP, "orders", "--as", "function", code=2)
    assert "cannot give volume orders to a function" in refused.stderr
    home.environ |= {"FOURFOLD_ENV": "functions"}
    home.run("up", "-f", SHOP, patience=300)
    serves(home)
    loads = [Load(f"http://127.0.0.1:{home.port}{path}", connections=2, rps=8, max_seconds=500) for path in ASKED]
    with ExitStack() as asking:
        for load in loads:
            asking.enter_context(load)
        for to in ("function", "process"):
            home.run("deploy", "-f", SHOP, *WEB, "--as", to, patience=300)
            assert {home.service(service, "shop")["pattern"] for service in WEB} == {to}
            serves(home)
    for load in loads:
        assert load.report().ok and not load.report().failed, str(load.report())


def serves(home: Home) -> None:
    """Through storefront, orders and catalog."""
    placed = until(lambda: placed_order(home), 60, "the order to be taken")
    assert placed in home.get("/api/orders/").json()
    assert "Today: pears" in home.get("/").text and home.get("/docs").status_code == 200
