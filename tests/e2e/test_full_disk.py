"""A full disk loses nothing: commands are refused, services live on, and with room again all is well."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.home import Home, web_file
from tests.e2e.small_disk import SmallDisk, small_disk
from tests.support.wait import until


@pytest.fixture
def disk(home: Home) -> Iterator[SmallDisk]:
    with small_disk(home) as made:
        home.run("up", "-f", str(home.app(web_file(home.port, VERSION="one"))))
        yield made


def file_of(home: Home) -> Path:
    return home.root / "app" / "fourfold.yaml"


def test_a_deploy_is_refused_and_works_with_room_again(home: Home, disk: SmallDisk) -> None:
    disk.fill()
    file = file_of(home)
    file.write_text(web_file(home.port, VERSION="two"))
    (file.parent / "web" / "more").write_bytes(os.urandom(300_000))
    done = home.run("up", "-f", str(file), code=1)
    said = done.stdout + done.stderr
    assert "Traceback" not in said and ("disk" in said or "space" in said), said
    assert home.get().headers["x-version"] == "one"
    disk.free()
    home.run("up", "-f", str(file))
    assert home.get().headers["x-version"] == "two"


def test_an_instance_that_ends_meanwhile_is_started_again_and_its_exit_known(home: Home, disk: SmallDisk) -> None:
    disk.fill()
    victim = home.instances()[0]["pid"]
    os.kill(victim, signal.SIGKILL)
    until(lambda: "cannot take note that" in home.daemon_log(), 60, "the exit to be refused")
    with home.api() as api:
        assert "fourfold_gateway_up 1" in api.get("/metrics").raise_for_status().text
    disk.free()
    until(lambda: home.service()["ready"] == 1 and home.instances()[0]["pid"] != victim, 60, "it to be back")
    instance = home.instances()[0]
    ended = f"{instance['id']} ended: "
    said = [line.partition(ended)[2] for line in home.run("events", "-a", "app").stdout.splitlines() if ended in line]
    assert said[0] == "killed by signal 9" and len(said) == instance["restarts"]  # with no room it may fail to start
    home.run("up", "-f", str(file_of(home)))
    assert home.instances()[0]["pid"] == instance["pid"], "nothing is left to do"


def test_a_service_that_writes_logs_lives_on(home: Home, disk: SmallDisk) -> None:
    disk.fill()
    pid = home.instances()[0]["pid"]
    home.provoke("/flood?lines=20000")
    assert home.get("/pid").text == str(pid)
    disk.free()
    home.get("/flood?lines=10")
    until(lambda: "line 9 " in home.run("logs", "-a", "app", "web", "--tail", "3").stdout, 60, "new lines")
    assert home.get("/pid").text == str(pid)


def test_a_build_says_that_there_is_no_room(home: Home, disk: SmallDisk) -> None:
    """It is stopped by the disk, not by us: what it made is removed, so that there is room again."""
    file = file_of(home)
    file.write_text(web_file(home.port, extra="build: head -c 100M /dev/zero > big", VERSION="two"))
    failed = home.run("up", "-f", str(file), code=1)
    said = failed.stdout + failed.stderr
    assert "Traceback" not in said and "No space left on device" in said, said
    assert home.get().headers["x-version"] == "one" and home.service()["release"] == 1
    file.write_text(web_file(home.port, VERSION="three"))
    home.run("up", "-f", str(file))
    assert home.get().headers["x-version"] == "three"
