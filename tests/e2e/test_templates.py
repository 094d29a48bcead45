"""Machines go on from templates, and each is itself; where none can be used they boot, and nobody is the worse off."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

from tests.e2e.home import Home, web_file
from tests.support.wait import until

pytestmark = pytest.mark.patterns("vm")


def templated(home: Home, how: str, **environ: Any) -> str:
    return web_file(home.port, instances=2, extra=f"vm: {{template: {how}}}", **environ)


def events(home: Home) -> list[str]:
    lines = home.run("events", "-a", "app").stdout.splitlines()
    return [line for line in lines if "template." in line]


def inside(home: Home, code: str, instance: str) -> str:
    command = ("--instance", instance, "web", "--", "/usr/bin/python3", "-c", code)
    return home.run("exec", "-a", "app", *command).stdout.strip()


OWN = "import os, socket, time; print(socket.gethostname(), time.time(), os.urandom(8).hex())"

MADE = {"boot": 2, "ready": 1}
"""Templates of two instances: in the last one is what the second of them read."""
OFF = 5
"""Seconds that a machine's clock may be off."""


@pytest.mark.parametrize("how", ["boot", "ready"])
def test_clones_are_themselves(home: Home, how: str) -> None:
    file = home.app(templated(home, how, VERSION="one"))
    home.run("up", "-f", str(file))
    until(lambda: len(events(home)) == MADE[how], 60, "the templates")
    assert all("made a template" in each for each in events(home))
    are_themselves(home)
    assert home.get().headers["x-version"] == "one"
    home.run("restart", "-a", "app", "web")
    are_themselves(home)
    assert len(events(home)) == MADE[how], "the next ones go on from the same"
    home.run("down", "-a", "app", "-y")


def both_ready(home: Home) -> list[Any]:
    ready = [each for each in home.instances() if each["state"] == "ready"]
    return ready if len(ready) == 2 else []


def are_themselves(home: Home) -> None:
    instances = until(lambda: both_ready(home), 60, "both, also the one of which a template was made")
    names = [each["id"] for each in instances]
    before = time.time()
    seen = [inside(home, OWN, name).split() for name in names]
    after = time.time()
    hosts, clocks, numbers = zip(*seen, strict=True)
    assert [host.rpartition("-")[2] for host in hosts] == [name.rpartition("-")[2] for name in names]
    assert all(before - OFF < float(clock) < after + OFF for clock in clocks) and len(set(numbers)) == 2
    assert len({each["address"] for each in instances}) == 2
    for each in instances:  # at its own address, which no template had in the meantime
        assert httpx.get(f"http://{each['address']}/healthz", timeout=15).status_code == 200


def test_one_that_is_broken_is_not_missed(home: Home) -> None:
    """Its state makes no sense to QEMU, though nothing tells that it was touched: the machine is booted at once."""
    file = home.app(templated(home, "boot", VERSION="one"))
    home.run("up", "-f", str(file))
    until(lambda: len(events(home)) == MADE["boot"], 60, "the templates")
    for folder in (home.root / "home" / "state" / "templates").iterdir():
        (folder / "state").write_bytes(b"nonsense")
    home.run("restart", "-a", "app", "web")  # they are seen to be others, and one is made anew
    assert len(events(home)) == MADE["boot"] + 1 and home.get().status_code == 200
    (folder,) = (home.root / "home" / "state" / "templates").iterdir()
    (folder / "state").write_bytes(b"nonsense")
    record = folder / "template.json"
    found = (folder / "state").stat()
    text = record.read_text()
    start = text.index('"state": [')
    record.write_text(f'{text[:start]}"state": [{found.st_ino}, {found.st_size}, {found.st_ctime_ns}]}}}}')
    home.run("restart", "-a", "app", "web")
    assert home.get().status_code == 200
    assert any("could not go on from its template" in line for line in events(home))
    home.run("down", "-a", "app", "-y")


def test_the_ready_service_is_refused_with_secrets(home: Home) -> None:
    file = home.app(web_file(home.port, extra="vm: {template: ready}\nsecrets: [TOKEN]"))
    home.run("secrets", "set", "-a", "app", "TOKEN", stdin="x")
    refused = home.run("up", "-f", str(file), code=2)
    assert "memory, with its secrets" in refused.stderr and "template: boot" in refused.stderr
