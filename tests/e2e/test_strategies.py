"""Canary and blue-green under load: nothing is lost, a broken release meets few, and both may be decided by hand."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.home import UNKIND, Home, web_file
from tests.e2e.traffic import Traffic
from tests.support.wait import until

CANARY = "deploy: {strategy: canary, steps: [{weight: 20, pause: 1s}, {weight: 50}], min_requests: 5}"
BLUE_GREEN = "deploy: {strategy: blue-green, promote: manual, min_ready: 500ms}"


def begin(home: Home, extra: str, instances: int = 2) -> Path:
    file = home.app(text(home, "one", extra, instances))
    home.run("up", "-f", str(file))
    return file


def text(home: Home, version: str, extra: str, instances: int = 2, **environ: Any) -> str:
    return web_file(home.port, instances=instances, extra=extra, VERSION=version, **{**UNKIND, **environ})


@contextmanager
def deploying(home: Home, file: Path, code: int) -> Iterator[subprocess.Popen[str]]:
    """An `up` that is waited for at the end, and how it must exit."""
    up = home.start("up", "-f", str(file))
    try:
        yield up
        said = up.communicate(timeout=180)[0]
        assert up.returncode == code, said
    finally:
        up.kill()


def at_step(home: Home, number: int) -> None:
    """Until it is there, with its instances."""

    def there() -> bool:
        step = home.service()["deployment"]["step"]
        return step is not None and step["begun"] and step["step"] == number

    until(there, 60, f"step {number}")


def test_a_canary_from_step_to_step(home: Home) -> None:
    """With a daemon that is killed at one, and another count of instances."""
    file = begin(home, CANARY)
    with Traffic(home.port) as traffic:
        traffic.flow()
        file.write_text(text(home, "two", CANARY))
        with deploying(home, file, 0):
            at_step(home, 2)
            assert [each["release"] for each in home.instances()] == [1, 1, 2]
            assert "waits for `fourfold deploy web --promote`" in home.run("status", "-a", "app").stdout
            home.kill_daemon()
            traffic.flow()
            home.start_daemon()
            at_step(home, 2)
            home.run("scale", "-a", "app", "web=4")
            until(lambda: releases(home) == [1, 1, 1, 1, 2, 2], 60, "both releases to follow the count")
            traffic.flow()
            home.run("deploy", "-a", "app", "web", "--promote")
    assert set(traffic.unharmed()) == {"one", "two"}
    assert releases(home) == [2, 2, 2, 2]


def releases(home: Home) -> list[int]:
    return sorted(each["release"] for each in home.instances() if each["state"] == "ready")


def test_a_broken_release_meets_less_than_a_twentieth_of_all_requests(home: Home) -> None:
    file = begin(home, "deploy: {strategy: canary}")
    with Traffic(home.port) as traffic:
        traffic.flow()
        file.write_text(text(home, "two", "deploy: {strategy: canary}", ERRORS=1))
        failed = home.run("up", "-f", str(file), code=1)
        assert "requests to the new release failed" in failed.stderr
        traffic.flow()
    report = traffic.report()
    assert set(report.kinds) == {"status 500"}
    assert 0 < report.failed < 0.05 * (report.ok + report.failed), f"{report.failed} of {report.ok + report.failed}"
    assert set(report.versions) == {"one"}
    assert home.service()["deployment"]["state"] == "rolled-back"


@pytest.mark.full
@pytest.mark.timeout(600)
@pytest.mark.patterns("container", "function")
def test_under_other_patterns(home: Home) -> None:
    test_a_broken_release_meets_less_than_a_twentieth_of_all_requests(home)


@pytest.mark.full
def test_its_load_asks_for_more_while_a_release_is_broken(home: Home) -> None:
    """Old ones are still starting when it fails: it gets no more for that."""
    home.environ["FOURFOLD_SCALE_INTERVAL"] = "1"

    def file_of(version: str, **environ: Any) -> str:
        written = text(home, version, "deploy: {strategy: canary}", **environ)
        return written.replace("instances: 2", "instances: {min: 2, max: 8, per_instance: {rps: 40}}")

    file = home.app(file_of("one", STARTUP_DELAY=2))
    home.run("up", "-f", str(file))
    with Traffic(home.port, rps=10) as always:
        always.flow()
        file.write_text(file_of("two", STARTUP_DELAY=3, ERRORS=1))
        with deploying(home, file, 1):
            until(lambda: any(each["release"] == 2 for each in home.instances()), 60, "the new release")
            with Traffic(home.port, rps=40) as burst:
                until(lambda: home.service()["deployment"]["state"] == "rolled-back", 60, "it to be found out")
                until(lambda: home.service()["ready"] > 2, 60, "more instances")
                burst.flow()
    reports = always.report(), burst.report()
    failed = sum(report.failed for report in reports)
    assert 0 < failed < 0.05 * sum(report.ok + report.failed for report in reports)
    assert {kind for report in reports for kind in report.kinds} == {"status 500"}
    assert {version for report in reports for version in report.versions} == {"one"}


def test_blue_green_by_hand(home: Home) -> None:
    """Taken back first: nobody has seen it. Then promoted: from then on nobody sees the old one."""
    file = begin(home, BLUE_GREEN)
    with Traffic(home.port) as before:
        file.write_text(text(home, "two", BLUE_GREEN))
        with deploying(home, file, 1):
            at_step(home, 1)
            assert releases(home) == [1, 1, 2, 2]
            before.flow()
            home.run("deploy", "-a", "app", "web", "--abort")
    assert set(before.unharmed()) == {"one"}
    assert "none is under way" in home.run("deploy", "-a", "app", "web", "--promote", code=2).stderr
    file.write_text(text(home, "three", BLUE_GREEN))
    with Traffic(home.port) as traffic:
        with deploying(home, file, 0):
            at_step(home, 1)
            home.run("deploy", "-a", "app", "web", "--promote")
        traffic.flow()
        with Traffic(home.port) as after:
            after.flow()
    traffic.unharmed()
    assert set(after.unharmed()) == {"three"}
