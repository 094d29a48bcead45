"""Promise 1: no request is lost. Each change happens under load; every request that fails is counted."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.home import UNKIND, Home, web_file
from tests.e2e.traffic import Traffic
from tests.support.wait import until


@pytest.fixture
def served(home: Home) -> Iterator[tuple[Home, Path]]:
    """Two instances of version one."""
    file = home.app(web_file(home.port, instances=2, VERSION="one", **UNKIND))
    home.run("up", "-f", str(file))
    yield home, file


def test_rolling_deploy_and_rollback(served: tuple[Home, Path]) -> None:
    home, file = served
    with Traffic(home.port) as traffic:
        traffic.flow()
        home.web(file, instances=2, VERSION="two", **UNKIND)
        home.run("up", "-f", str(file))
        traffic.flow()
        home.run("rollback", "-a", "app", "web")
        traffic.flow()
    assert set(traffic.unharmed()) == {"one", "two"}
    assert home.get().headers["x-version"] == "one"


def test_scale_up_and_down(served: tuple[Home, Path]) -> None:
    home, _ = served
    with Traffic(home.port) as traffic:
        for count in (4, 1, 3):
            home.run("scale", "-a", "app", f"web={count}")
            assert home.service()["ready"] == count
            traffic.flow()
    traffic.unharmed()


def test_restart_and_gateway_reload_with_a_slow_request_in_flight(served: tuple[Home, Path]) -> None:
    """A second app makes the gateway reload; the slow request was begun before and is answered after."""
    home, _ = served
    answers: list[httpx.Response] = []
    slow = threading.Thread(target=lambda: answers.append(home.get("/slow?seconds=4")))
    slow.start()
    until(lambda: any(row["in_flight"] for row in routes(home)), 60, "the slow request to be in flight")
    with Traffic(home.port) as traffic:
        other = home.app(web_file(home.port, VERSION="other").replace("app: app", "app: other")
                         .replace("path: /}", "path: /other}"), "other")  # fmt: skip
        home.run("up", "-f", str(other))
        home.run("restart", "-a", "app")
        traffic.flow()
        slow.join(60)
    traffic.unharmed()
    assert [answer.status_code for answer in answers] == [200]


def routes(home: Home) -> list[dict[str, int]]:
    with home.api() as api:
        found: list[dict[str, int]] = api.get("/v1/apps/app/routes").json()
        return found


def test_the_daemon_is_killed_and_started_again(served: tuple[Home, Path]) -> None:
    home, file = served
    before = {instance["pid"] for instance in home.instances()}
    with Traffic(home.port) as traffic:
        traffic.flow()
        home.kill_daemon()
        traffic.flow()
        home.start_daemon()
        traffic.flow()
        assert {instance["pid"] for instance in home.instances()} == before
        home.web(file, instances=2, VERSION="two", **UNKIND)
        home.run("up", "-f", str(file))
        traffic.flow()
    assert set(traffic.unharmed()) == {"one", "two"}


def test_a_recreate_says_what_it_is(home: Home) -> None:
    """`recreate` is the strategy that does lose requests: never two versions at once, and a clear 503 between."""
    extra = "deploy: {strategy: recreate}"
    file = home.app(web_file(home.port, extra=extra, VERSION="one", **UNKIND))
    home.run("up", "-f", str(file))
    with Traffic(home.port) as traffic:
        traffic.flow()
        home.web(file, extra=extra, VERSION="two", **UNKIND)
        home.run("up", "-f", str(file))
        traffic.flow()
    report = traffic.report()
    assert set(report.kinds) == {"status 503"}, str(report)
    assert home.get().headers["x-version"] == "two"
