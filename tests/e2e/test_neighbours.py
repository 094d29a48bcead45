"""Promise 7: limits hold. What one service does, its neighbour's life and latency do not feel."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from tests.e2e.home import Home
from tests.supervise.rig import needs, powers
from tests.support.load import Load
from tests.support.wait import until

pytestmark = pytest.mark.patterns("process", "container", "vm")  # of functions: see test_functions

APP = """\
app: app
services:
  bad:
    source: ./web
    run: exec /usr/bin/python3 web.py
    port: 8080
    route: {path: /bad, strip: true, timeout: 5s}
    resources: {memory: 64Mi, cpu: 0.2, pids: 30}
  good:
    source: ./web
    run: exec /usr/bin/python3 web.py
    port: 8080
    route: {path: /}
    env: {VERSION: good}
gateway: {listen: "LISTEN"}
"""
SLOWER = 10.0
"""Times its usual 90th percentile may the neighbour's be beside a hog; but a quarter of a second is always allowed. (Of
the 99th a single moment in which this machine did something else would be enough.)"""


@pytest.fixture
def pair(home: Home) -> Iterator[Home]:
    home.run("up", "-f", str(home.app(APP)))
    yield home


@contextmanager
def untouched_neighbour(home: Home) -> Iterator[Load]:
    """Asks the neighbour, alone first and then beside what happens in the `with`.

    Its life is its own everywhere; its latency only where the CPU time of others can be limited.
    """
    before = home.instances("good")[0]
    with asking(home) as alone:
        until(lambda: alone.report().ok >= 100, 60, "the neighbour to answer")
    with asking(home) as beside:
        yield beside
        until(lambda: beside.report().ok >= 100, 60, "the neighbour to answer")
    report = beside.report()
    assert not report.failures, str(report)
    usual, now = alone.report().percentile(90), report.percentile(90)
    assert now <= max(SLOWER * usual, 0.25) or not powers().cpu, f"its p90 was {usual:.3f} s and has become {now:.3f} s"
    after = home.instances("good")[0]
    assert (after["pid"], after["restarts"]) == (before["pid"], 0)


def asking(home: Home) -> Load:
    return Load(f"http://127.0.0.1:{home.port}/", connections=2, rps=50)


@needs("memory")
def test_a_memory_hog_is_killed_alone_and_named(pair: Home) -> None:
    with untouched_neighbour(pair):
        pair.provoke("/bad/hog?bytes=300000000")
        until(lambda: pair.instances("bad")[0]["restarts"], 60, "the hog to be killed and started again")
    assert pair.instances("bad")[0]["exit"]["oom"] is True
    assert "out of memory" in pair.run("explain", "-a", "app", "bad", code=None).stdout


@needs("pids")
@pytest.mark.patterns("process", "container")  # a machine's processes are its guest's
def test_a_fork_bomb_stops_at_pids(pair: Home) -> None:
    with untouched_neighbour(pair):
        pair.provoke("/bad/fork-bomb?seconds=3")
        left = family(pair.instances("bad")[0]["pid"])
        assert 5 < len(left) <= 30
    pair.run("restart", "-a", "app", "bad")
    until(lambda: not any(process.is_running() for process in left), 60, "the whole tree to be gone")


def family(pid: int) -> list[psutil.Process]:
    main = psutil.Process(pid)
    return [main, *main.children(recursive=True)]


@needs("cpu")
def test_a_cpu_hog_gets_its_share_and_no_more(pair: Home) -> None:
    """With more processes than there are cores."""
    processes = 2 * (os.cpu_count() or 1) + 1
    with untouched_neighbour(pair):
        before, begun = pair.instances("bad")[0]["cpu_seconds"], time.monotonic()
        pair.provoke(f"/bad/spin?seconds=4&processes={processes}")
        taken, seconds = pair.instances("bad")[0]["cpu_seconds"] - before, time.monotonic() - begun
    assert taken < 0.2 * seconds + 0.5, f"{taken} s of CPU in {seconds} s, at a fifth of a core"


def test_a_log_flood_is_bounded(pair: Home) -> None:
    """Its newest lines are there, its oldest are not, and the disk has not seen most of it."""
    with untouched_neighbour(pair):
        pair.provoke("/bad/flood?lines=400000")
        until(lambda: "line 399999" in pair.run("logs", "-a", "app", "bad", "--tail", "5").stdout, 60, "the last line")
    logs = pair.home / "state" / "logs" / "app" / "bad"
    until(lambda: sum(path.stat().st_blocks * 512 for path in logs.iterdir()) < 20 * 1024 * 1024, 60, "a small log")
    numbers = [
        int(line.split("line ")[1].split()[0])
        for line in pair.run("logs", "-a", "app", "bad").stdout.splitlines()
        if "line " in line
    ]
    assert numbers == list(range(numbers[0], 400_000)), "a line is missing in the part that was kept"
