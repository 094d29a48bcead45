"""Promise 1: no request is lost. Each change happens under load; every request that fails is counted."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.home import Home, web_file
from tests.support.load import Load
from tests.support.wait import until


@pytest.fixture
def served(home: Home) -> Iterator[tuple[Home, Path]]:
    """Two instances of version one."""
    file = home.app(web_file(home.port, instances=2, VERSION="one"))
    home.run("up", "-f", str(file))
    yield home, file


def load(home: Home) -> Load:
    return Load(f"http://127.0.0.1:{home.port}/", connections=4, rps=150, version=r"(?i)x-version: (\w+)")


def flowing(running: Load) -> None:
    """Until some more answers have come."""
    goal = running.report().ok + 50
    until(lambda: running.report().ok >= goal, 20, "requests to be answered")


def unharmed(running: Load) -> dict[str, int]:
    report = running.report()
    assert not report.failures, str(report)
    assert report.ok > 100
    return dict(report.versions)


def test_rolling_deploy_and_rollback(served: tuple[Home, Path]) -> None:
    home, file = served
    with load(home) as running:
        flowing(running)
        home.web(file, instances=2, VERSION="two")
        home.run("up", "-f", str(file))
        flowing(running)
        home.run("rollback", "-a", "app", "web")
        flowing(running)
    assert set(unharmed(running)) == {"one", "two"}
    assert home.get().headers["x-version"] == "one"


def test_scale_up_and_down(served: tuple[Home, Path]) -> None:
    home, _ = served
    with load(home) as running:
        for count in (4, 1, 3):
            home.run("scale", "-a", "app", f"web={count}")
            assert home.service()["ready"] == count
            flowing(running)
    unharmed(running)


def test_restart_and_gateway_reload_with_a_slow_request_in_flight(served: tuple[Home, Path]) -> None:
    """A second app makes the gateway reload; the slow request was begun before and is answered after."""
    home, _ = served
    answers: list[httpx.Response] = []
    slow = threading.Thread(target=lambda: answers.append(home.get("/slow?seconds=4")))
    with load(home) as running:
        slow.start()
        until(lambda: any(row["in_flight"] for row in routes(home)), 10, "the slow request to be in flight")
        other = home.app(web_file(home.port, VERSION="other").replace("app: app", "app: other")
                         .replace("path: /}", "path: /other}"), "other")  # fmt: skip
        home.run("up", "-f", str(other))
        home.run("restart", "-a", "app")
        flowing(running)
        slow.join(20)
    unharmed(running)
    assert [answer.status_code for answer in answers] == [200]


def routes(home: Home) -> list[dict[str, int]]:
    with home.api() as api:
        found: list[dict[str, int]] = api.get("/v1/apps/app/routes").json()
        return found


def test_the_daemon_is_killed_and_started_again(served: tuple[Home, Path]) -> None:
    home, file = served
    before = {instance["pid"] for instance in home.instances()}
    with load(home) as running:
        flowing(running)
        home.kill_daemon()
        flowing(running)
        home.start_daemon()
        flowing(running)
        assert {instance["pid"] for instance in home.instances()} == before
        home.web(file, instances=2, VERSION="two")
        home.run("up", "-f", str(file))
        flowing(running)
    assert set(unharmed(running)) == {"one", "two"}


def test_a_recreate_says_what_it_is(home: Home) -> None:
    """`recreate` is the strategy that does lose requests: never two versions at once, and a clear 503 between."""
    extra = "deploy: {strategy: recreate}"
    file = home.app(web_file(home.port, extra=extra, VERSION="one"))
    home.run("up", "-f", str(file))
    with load(home) as running:
        flowing(running)
        home.web(file, extra=extra, VERSION="two")
        home.run("up", "-f", str(file))
        flowing(running)
    report = running.report()
    assert all("503" in failure.kind for failure in report.failures), str(report)
    assert home.get().headers["x-version"] == "two"
