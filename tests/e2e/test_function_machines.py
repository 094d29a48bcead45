"""Functions whose sandboxes are virtual machines: by the rules of all functions, with a kernel of their own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.home import Home
from tests.support.runtimes import python
from tests.support.wait import until

pytestmark = [pytest.mark.patterns("vm"), pytest.mark.timeout(600)]

FILE = """\
app: app
services:
  f:
    source: ./f
    pattern: function
    runtime: PYTHON
    route: {path: /f}
    function: {handler: app.handler, timeout: 30s, concurrency: 2, tmp: 16Mi, isolation: vm}
    secrets: [TOKEN]
    resources: {memory: 96Mi}
gateway: {listen: "LISTEN"}
""".replace("PYTHON", python())
APP = """\
import os, threading, time

COUNT = 0

def tick():
    while True:
        time.sleep(0.001)

def handler(event, context):
    global COUNT
    COUNT += 1
    do = event.get("do", "")
    if do == "sleep":
        time.sleep(600)
    if do == "hog":
        hoard = [b"x" * 2**20 for _ in range(500)]
    if do == "fill":
        with open("/tmp/much", "wb") as file:
            while True:
                file.write(b"x" * 2**20)
    if do == "thread":
        threading.Thread(target=tick, daemon=True).start()
    return {"count": COUNT, "kernel": os.uname().release, "token": os.environ["TOKEN"], "random": os.urandom(8).hex(),
            "clock": time.time(), "begun": context._epoch_deadline_time_in_ms / 1000 - 30, "file": __file__}
"""
TOKEN = "e5c3-not-on-any-disk"
OFF = 5
"""Seconds that a machine's clock may be off."""


@pytest.fixture(scope="module")
def served(images: Path) -> Iterator[Home]:
    """Deployed once: each test leaves it well."""
    home = Home(pattern="function")
    try:
        home.take_images(images)
        file = home.app(FILE)
        (file.parent / "f").mkdir()
        (file.parent / "f" / "app.py").write_text(APP)
        home.run("secrets", "set", "-a", "app", "TOKEN", stdin=TOKEN)
        home.run("up", "-f", str(file), patience=300)
        yield home
    finally:
        home.close()


def invoke(home: Home, *arguments: str, code: int | None = 0, **event: Any) -> subprocess.CompletedProcess[str]:
    return home.run("invoke", "-a", "app", "f", "-d", json.dumps(event), *arguments, code=code)


def answer(home: Home, **event: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(invoke(home, **event).stdout)
    return found


def states(home: Home) -> dict[str, int]:
    found: dict[str, int] = home.instances("f")[0]["sandboxes"]["states"]
    return found


def machines(home: Home) -> list[psutil.Process]:
    """Those of its sandboxes that run."""
    (instance,) = home.instances("f")
    return [each for each in psutil.Process(instance["pid"]).children(recursive=True) if each.name().startswith("qemu")]


def test_a_session(served: Home, pattern: str) -> None:
    events = served.run("events", "-a", "app").stdout
    assert "made a template, booted" in events
    before = time.time()
    first = answer(served)
    assert first["kernel"] != os.uname().release and (first["token"], first["count"]) == (TOKEN, 1)
    assert first["file"] == "/var/task/app.py"
    assert before - OFF < first["begun"] < first["clock"] + OFF < time.time() + 2 * OFF
    told = invoke(served, "--tail", do="thread")
    assert re.search(r"REPORT RequestId: .*\tBilled Duration: \d+ ms\tMemory Size: 96 MB\t", told.stderr)
    assert json.loads(told.stdout)["count"] == 2, "it was warm"
    until(lambda: states(served) == {"frozen": 1}, 60, "it to stand still")
    (machine,) = machines(served)
    taken = machine.cpu_times()
    assert served.get("/no/such").status_code == 404 and states(served) == {"frozen": 1}
    assert machine.cpu_times()[:2] == taken[:2], "its thread would run"
    assert served.get("/f").json()["count"] == 3
    (cost,) = json.loads(served.run("cost", "-a", "app", "-o", "json").stdout)["functions"]
    assert (cost["requests"], cost["failed"]) == (3, 0)
    (folder,) = (served.root / "home" / "state" / "templates").iterdir()
    assert TOKEN.encode() not in (folder / "memory").read_bytes()


@pytest.mark.full
def test_what_goes_wrong_in_there_stays_in_there(served: Home, pattern: str) -> None:
    first = answer(served)
    assert "No space left on device" in invoke(served, do="fill", code=1).stdout
    assert "Runtime.OutOfMemory" in invoke(served, do="hog", code=1).stdout
    again = answer(served)
    assert again["count"] == 1 and again["random"] != first["random"]
    assert "Linux" in served.run("run", "-a", "app", "f", "--", "uname", code=0, patience=120).stdout


@pytest.mark.full
def test_at_its_deadline_the_whole_machine_is_ended(served: Home, pattern: str) -> None:
    answer(served)
    (before,) = machines(served)
    assert "Task timed out after 30.00 seconds" in invoke(served, do="sleep", code=1).stdout
    assert not before.is_running()


def test_machines_end_with_their_invoker(served: Home, pattern: str) -> None:
    first = answer(served)
    waiting = served.start("invoke", "-a", "app", "f", "-d", '{"do": "sleep"}')
    until(lambda: states(served).get("busy"), 60, "the event to be begun")
    there = machines(served)
    assert there
    os.kill(served.instances("f")[0]["pid"], signal.SIGKILL)
    waiting.communicate(timeout=60)
    assert waiting.returncode == 1
    until(lambda: not any(each.is_running() for each in there), 60, "its machines to be gone")
    until(lambda: served.get("/f").status_code == 200, 60, "it to serve again")
    assert answer(served)["random"] != first["random"], "clones of one template would be one machine"


@pytest.mark.full
def test_a_template_that_is_broken_is_not_missed(served: Home, pattern: str) -> None:
    """Its state makes no sense to QEMU, though nothing tells that it was touched: the machine boots at once."""
    (folder,) = (served.root / "home" / "state" / "templates").iterdir()
    (folder / "state").write_bytes(b"nonsense")
    record = folder / "template.json"
    found = (folder / "state").stat()
    text = record.read_text()
    start = text.index('"state": [')
    record.write_text(f'{text[:start]}"state": [{found.st_ino}, {found.st_size}, {found.st_ctime_ns}]}}}}')
    served.run("restart", "-a", "app", "f", patience=120)
    assert answer(served)["count"] == 1
    assert "could not go on from its template, and boots" in served.run("logs", "-a", "app", "f").stdout
