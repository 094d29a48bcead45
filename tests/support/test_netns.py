"""The command that gives tests of containers a network of their own, with a way out."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.netns import INSIDE
from tests.support.wait import until

COMMAND = (sys.executable, "-m", "tests.support.netns", "--")
PROGRAMS = ["sleep", "slirp4netns"]
ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may make network namespaces")


def inside(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *command], cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_it_has_loopback_and_a_way_out_of_its_own() -> None:
    links = json.loads(inside("ip", "-j", "link").stdout)
    assert [(link["ifname"], "UP" in link["flags"]) for link in links] == [("lo", True), ("tap0", True)]
    assert inside("printenv", INSIDE).stdout == "1\n"
    here = Path("/proc/self/ns/net").readlink()
    assert Path(inside("readlink", "/proc/self/ns/net").stdout.strip()) != here


def test_this_hosts_loopback_is_not_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        for host in ("127.0.0.1", "10.0.2.2"):
            code = f"import socket; socket.create_connection(({host!r}, {port}), 2)"
            assert inside(sys.executable, "-c", code).returncode == 1


def test_exit_codes_and_signals_pass_through() -> None:
    assert inside("sh", "-c", "exit 7").returncode == 7
    assert inside("sh", "-c", "kill -KILL $$").returncode == 128 + 9
    assert inside("/nonexistent").returncode == 1
    assert inside().returncode == 2
    running = subprocess.Popen([*COMMAND, "sh", "-c", "trap 'exit 3' TERM; echo ready; while :; do sleep 0.1; done"],
                               cwd=ROOT, stdout=subprocess.PIPE)  # fmt: skip
    assert running.stdout is not None and running.stdout.readline() == b"ready\n"
    running.terminate()
    assert running.wait(60) == 3
    running.stdout.close()


def test_nothing_is_left_when_it_is_killed() -> None:
    running = subprocess.Popen([*COMMAND, "sleep", "600"], cwd=ROOT)
    children = Path(f"/proc/{running.pid}/task/{running.pid}/children")
    names = until(lambda: _both({pid: _name(pid) for pid in children.read_text().split()}))
    assert names
    running.kill()
    running.wait()
    for pid, name in names.items():
        if name.startswith("sleep"):
            os.kill(int(pid), signal.SIGKILL)
        else:
            until(lambda pid=pid: not _name(pid))  # type: ignore[misc]


def _both(names: dict[str, str]) -> dict[str, str] | None:
    """Once both programs are what they are to be."""
    return names if sorted(name.split("\0")[0].rpartition("/")[2] for name in names.values()) == PROGRAMS else None


def _name(pid: str) -> str:
    """Empty for one that has ended."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""
    return command
