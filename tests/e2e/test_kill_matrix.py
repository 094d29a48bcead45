"""Promise 2, step by step: the daemon is killed before and after every commit of a deploy, and all converges."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from tests.e2e.home import Home, web_file
from tests.support.load import Load
from tests.support.wait import until


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "when" in metafunc.fixturenames:
        metafunc.parametrize("when", ["before", "after"])


def test_a_rolling_deploy(home: Home, when: str) -> None:
    """Under load that loses nothing; each death is followed by a new daemon and a deploy of the next version."""
    file = home.app(web_file(home.port, instances=2, VERSION="v0"))
    home.run("up", "-f", str(file))
    with Load(f"http://127.0.0.1:{home.port}/", connections=2, rps=40) as load:
        for step in itertools.count(1):
            version = f"v{step}"
            home.web(file, instances=2, VERSION=version)
            if not died(home, file, step if when == "after" else -step):
                break
            home.start_daemon()
            settled(home)
            home.run("up", "-f", str(file))
            assert home.get().headers["x-version"] == version
            settled(home)
    assert step > 8, "a deploy has more steps than that: the fault did not work"
    assert not load.report().failures, str(load.report())


def died(home: Home, file: Path, commit: int) -> bool:
    """Deploy with a daemon that dies at this commit; False if it got to the end."""
    home.kill_daemon()
    daemon = home.start_daemon(FOURFOLD_FAULT_COMMIT=str(commit))
    up = home.start("up", "-f", str(file)) if daemon.poll() is None else None
    until(lambda: daemon.poll() is not None or (up is not None and up.poll() is not None), 60, "either to end")
    until(lambda: daemon.poll() is not None or settled(home), 60, "the daemon to come to rest")
    if up is not None:
        up.kill()
        up.communicate()
    return daemon.poll() is not None


def settled(home: Home) -> bool:
    """All at rest: two instances ready, each one process, and no other process of the service anywhere."""

    def at_rest() -> bool:
        service = home.service()
        states = [instance["state"] for instance in service["instances"]]
        return service["deployment"]["state"] != "running" and states == ["ready", "ready"]

    until(at_rest, 60, "the service to be at rest")
    known = sorted(instance["pid"] for instance in home.instances())

    def processes() -> list[int]:
        return sorted(p.pid for p in home.processes() if "web.py" in " ".join(p.cmdline()))

    until(lambda: processes() == known, 20, f"exactly the processes {known}; there are {processes()}")
    return True
