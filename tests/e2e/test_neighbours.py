"""Promise 7: limits hold. What one service does, its neighbour's life and latency do not feel."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import psutil
import pytest

from tests.e2e.home import Home
from tests.support.load import Load
from tests.support.wait import until

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


@pytest.fixture
def pair(home: Home) -> Iterator[Home]:
    home.run("up", "-f", str(home.app(APP)))
    yield home


def neighbour(home: Home) -> Load:
    return Load(f"http://127.0.0.1:{home.port}/", connections=2, rps=50, timeout=5)


def provoke(home: Home, path: str) -> None:
    """The answer does not matter: the program may die of it."""
    try:
        httpx.get(f"http://127.0.0.1:{home.port}/bad{path}", timeout=8)
    except httpx.HTTPError:
        return


def untouched(home: Home, load: Load, pid: int) -> None:
    assert not load.report().failures, str(load.report())
    instance = home.instances("good")[0]
    assert (instance["pid"], instance["restarts"]) == (pid, 0)


def test_a_memory_hog_is_killed_alone_and_named(pair: Home) -> None:
    pid = pair.instances("good")[0]["pid"]
    with neighbour(pair) as load:
        provoke(pair, "/hog?bytes=300000000")
        until(lambda: pair.instances("bad")[0]["restarts"] == 1, 20, "the hog to be killed and started again")
    assert pair.instances("bad")[0]["exit"]["oom"] is True
    assert "out of memory" in pair.run("explain", "-a", "app", "bad", code=None).stdout
    untouched(pair, load, pid)


def test_a_fork_bomb_stops_at_pids(pair: Home) -> None:
    pid = pair.instances("good")[0]["pid"]
    with neighbour(pair) as load:
        provoke(pair, "/fork-bomb")
        bad = pair.instances("bad")[0]["pid"]
        assert 5 < len(family(bad)) <= 30
    untouched(pair, load, pid)
    left = family(bad)
    pair.run("restart", "-a", "app", "bad")
    until(lambda: not any(process.is_running() for process in left), 20, "the whole tree to be gone")


def family(pid: int) -> list[psutil.Process]:
    main = psutil.Process(pid)
    return [main, *main.children(recursive=True)]


def test_a_cpu_hog_gets_its_share_and_no_more(pair: Home) -> None:
    pid = pair.instances("good")[0]["pid"]
    with neighbour(pair) as load:
        before = pair.instances("bad")[0]["cpu_seconds"]
        provoke(pair, "/spin?seconds=4")
        until(lambda: load.report().ok > 100, 20)
        taken = pair.instances("bad")[0]["cpu_seconds"] - before
    assert taken < 2.5, "four seconds of spinning at a fifth of a core"
    untouched(pair, load, pid)


def test_a_log_flood_is_bounded(pair: Home) -> None:
    """Its newest lines are there, its oldest are not, and the disk has not seen most of it."""
    pid = pair.instances("good")[0]["pid"]
    with neighbour(pair) as load:
        provoke(pair, "/flood?lines=400000")
        until(lambda: "line 399999" in pair.run("logs", "-a", "app", "bad", "--tail", "5").stdout, 60, "the last line")
    logs = pair.home / "state" / "logs" / "app" / "bad"
    until(lambda: sum(path.stat().st_blocks * 512 for path in logs.iterdir()) < 20 * 1024 * 1024, 20, "a small log")
    numbers = [
        int(line.split("line ")[1].split()[0])
        for line in pair.run("logs", "-a", "app", "bad").stdout.splitlines()
        if "line " in line
    ]
    assert numbers == list(range(numbers[0], 400_000)), "a line is missing in the part that was kept"
    untouched(pair, load, pid)
