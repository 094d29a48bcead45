"""Builds are kept apart and bounded: network, time, processes, disk, and what they may leave."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import resource
from pathlib import Path
from types import SimpleNamespace

import pytest

from fourfold.build.make import BuildLimits
from fourfold.errors import WorldError
from fourfold.launch.model import Limits, Powers
from fourfold.supervise.cgroups.find import find
from fourfold.supervise.supervisor import Supervisor

from .building import build, failure, gone, processes_with, seconds
from .helpers import Home, write

pytestmark = pytest.mark.e2e


def test_a_build_has_no_network_and_sees_nothing_of_the_host(home: Home, source: Path) -> None:
    write(source, {"look.py": LOOK})
    artifact = build(home, source, build="python look.py > seen.json", run="cat seen.json")
    seen = json.loads((artifact.tree / "seen.json").read_text())
    assert seen["network"] == "blocked"
    assert seen["home"] == ["build"] and seen["there"] == []
    assert seen["uid"] != 0 and seen["processes"] < 10
    assert seen["usr"] == "read-only"


LOOK = """
import json, os, socket
def connect():
    try:
        socket.create_connection(("1.1.1.1", 53), 2)
    except OSError:
        return "blocked"
    return "open"
def usr():
    try:
        open("/usr/x", "w")
    except OSError:
        return "read-only"
    return "writable"
print(json.dumps({
    "network": connect(), "usr": usr(), "home": os.listdir("/home"), "uid": os.getuid(),
    "there": [path for path in ("/root", "/var", "/run", "/srv", "/etc/shadow", "/mnt") if os.path.exists(path)],
    "processes": len([name for name in os.listdir("/proc") if name.isdigit()]),
}))
"""


def test_a_disk_that_is_nearly_full(home: Home, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With less free than is to stay so nothing is begun; with half of that, what has begun is ended."""
    free = [100]
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(total=100_000, free=free[0]))
    write(source, {"a": ""})
    home = Home(home.root, BuildLimits(free=101))
    error = failure(home, source, build="true", run="x")
    assert error.what.startswith("cannot build web: its disk has 0 MiB free") and "free_bytes" in (error.hint or "")

    home = Home(home.root, BuildLimits(free=100))
    free[:] = [100, 100]
    monkeypatch.setattr(
        "shutil.disk_usage", lambda folder: SimpleNamespace(total=100_000, free=free.pop() if len(free) > 1 else 49)
    )
    mark = seconds(5)
    error = failure(home, source, build=f"sleep {mark}", run="x")
    assert "ended before its disk was full" in error.what
    assert gone(mark)
    assert home.left_over == []


@pytest.mark.skipif(os.geteuid() != 0, reason="without root, its user reaches all tools")
def test_a_disk_that_fills_before_a_build_begins(home: Home, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "uv")

    write(source, {"a": "", "requirements.txt": "six\n"})
    monkeypatch.setattr("fourfold.build.workspace._within_reach", full)
    monkeypatch.setattr("fourfold.build.build.find_mode", lambda uid: "none")
    home = Home(home.root, unisolated=True)
    assert "No space left on device" in failure(home, source, build="true", run="x").what
    assert home.left_over == []
    (source / "requirements.txt").unlink()
    build(home, source, run="x")  # nothing is run for it, which needs no tools


def test_a_build_over_its_time_is_ended_with_all_its_processes(home: Home, source: Path) -> None:
    write(source, {"a": ""})
    home = Home(home.root, BuildLimits(seconds=1.5))
    mark = seconds(1)
    error = failure(home, source, build=f"setsid sleep {mark} & sleep {mark}", run="x")
    assert "time for the build was up" in error.what
    assert gone(mark)


def test_a_cancelled_build_leaves_nothing(home: Home, source: Path) -> None:
    mark = seconds(2)
    write(source, {"a": ""})

    async def cancelled() -> None:
        task = asyncio.create_task(home.build(source, build=f"sleep {mark}", run="x"))
        while not processes_with(mark):
            assert not task.done(), task
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    for _ in range(20):  # the earlier it comes, the less there is that bubblewrap has set up
        asyncio.run(cancelled())
        assert gone(mark)
    assert home.left_over == []


@pytest.mark.skipif(os.geteuid() != 0, reason="the limit counts all processes of a user: needs one of its own")
def test_a_fork_bomb_meets_a_limit_and_is_ended(home: Home, source: Path) -> None:
    mark = seconds(3)
    write(source, {"bomb.sh": f"while true; do sh -c 'sleep {mark}' & done 2>&1 | head -n 1000000 >/dev/null\n"})
    home = Home(home.root, BuildLimits(seconds=4))
    home.builder._owner = (780_000 + os.getpid() % 10_000,) * 2  # builds of other tests are not to lack processes
    most = 0

    async def watch() -> None:
        nonlocal most
        task = asyncio.create_task(home.build(source, build="sh bomb.sh", run="x"))
        while not task.done():
            most = max(most, len(processes_with(mark)))
            await asyncio.sleep(0.2)
        with pytest.raises(WorldError):
            await task

    asyncio.run(watch())
    assert most < 1100
    assert gone(mark)


BOMB = """python3 -c '
import os, time
born = 0
try:
    while born < 1000:
        if os.fork() == 0:
            time.sleep(600)
        born += 1
except BlockingIOError:
    open("born", "w").write(str(born))
'"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs control groups of its own")
def test_a_build_is_bounded_as_a_whole(home: Home, source: Path) -> None:
    """By files in /tmp, say, which are memory: no process is over a limit of its own."""
    write(source, {"a": ""})
    supervisor = Supervisor(home.paths, Powers(), on_exit=print)
    supervisor._groups = find(home.paths.run, home.paths.state)
    if "memory" in supervisor._groups.missing:
        pytest.skip(supervisor._groups.missing["memory"])
    home = Home(
        home.root, BuildLimits(seconds=60), confine=lambda: supervisor.pen(Limits(memory=96 * 1024**2, pids=200))
    )
    error = failure(
        home, source, build="for n in $(seq 12); do head -c 16000000 /dev/zero > /tmp/$n; done; false", run="x"
    )
    assert "ran out of memory" in error.what and "build_memory" in (error.hint or "")
    build(home, source, build=f"cat /proc/self/cgroup > groups; nice > nice; ulimit -p > most; {BOMB}", run="x")
    (artifact,) = list(home.builder._artifacts.list())
    tree = home.builder._artifacts.tree(artifact.digest)
    soft, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    most = "unlimited" if soft == resource.RLIM_INFINITY else str(soft)
    assert "/pen-" in (tree / "groups").read_text()
    assert (tree / "nice").read_text().strip() == str(min(19, 10 + os.getpriority(os.PRIO_PROCESS, 0)))
    assert (tree / "most").read_text().strip() == most, "of the user of all builds: one could leave another none"
    assert 50 < int((tree / "born").read_text()) < 200
    assert supervisor._groups.names() == set(), "nothing is left of it"
    supervisor._groups.close()


def test_a_result_over_its_size_is_refused_with_its_largest_folders(home: Home, source: Path) -> None:
    write(source, {"a": ""})
    home = Home(home.root, BuildLimits(size=2_000_000))
    error = failure(home, source, build="mkdir out; head -c 3000000 /dev/zero > out/x", run="x")
    assert "the limit is 1 MiB" in error.what and "out (2 MiB)" in (error.hint or "")


def test_a_build_that_fills_the_disk_is_ended(home: Home, source: Path) -> None:
    write(source, {"a": ""})
    home = Home(home.root, BuildLimits(size=5_000_000))
    error = failure(home, source, build="while true; do head -c 100000 /dev/zero > x$(date +%N); done", run="x")
    assert "wrote more than" in error.what


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("ln -s /etc/shadow stolen", "link stolen points out"),
        ("ln -s ../../.. up", "link up points out"),
        ("mkfifo pipe", "pipe is a device"),
        ("cp /usr/bin/id id && chmod 4755 id", "set-user-id"),
    ],
)
def test_what_a_build_must_not_leave_in_the_tree(home: Home, source: Path, command: str, said: str) -> None:
    write(source, {"a": ""})
