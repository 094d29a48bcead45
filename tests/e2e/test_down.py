"""`down`: what it keeps, what `--purge` deletes, whoever dies meanwhile; and changes that are called off."""

from __future__ import annotations

import json
import signal
from contextlib import suppress

import psutil

from tests.e2e.home import Home, web_file
from tests.support.wait import until

KEEPS = "volumes: [{name: data, path: /data}]\nsecrets: [API_KEY]"


def test_the_same_name_after_a_purge_is_another_app(home: Home) -> None:
    """Release numbers begin anew, and what was known of the old ones is not taken for the new ones."""
    file = home.app(web_file(home.port, VERSION="one"))
    home.run("up", "-f", str(file))
    home.run("down", "-a", "app", "-y", "--purge")
    home.web(file, VERSION="two")
    home.run("up", "-f", str(file))
    assert home.get().headers["x-version"] == "two"
    assert [release["number"] for release in history(home)] == [1]


def test_two_downs_at_once(home: Home) -> None:
    """Both end, and the app can be brought up again."""
    file = home.app(web_file(home.port, IGNORE_TERM=1))
    home.run("up", "-f", str(file))
    downs = [home.start("down", "-a", "app", "-y") for _ in range(2)]
    for down in downs:
        output, _ = down.communicate(timeout=60)
        assert down.returncode == 0, output
    home.run("up", "-f", str(file))


def test_what_down_keeps_can_be_seen_and_purged(home: Home) -> None:
    file = home.app(web_file(home.port, extra=KEEPS))
    home.run("secrets", "set", "API_KEY", "-a", "app", stdin="value")
    home.run("up", "-f", str(file))
    home.run("down", "-a", "app", "-y")
    assert [release["current"] for release in history(home)] == [False]
    home.run("down", "-a", "app", "-y", code=2)
    home.run("down", "-a", "app", "-y", "--purge")
    assert nothing_is_left(home)
    assert "cannot find app" in home.run("history", "-a", "app", code=2).stderr
    assert "cannot find app" in home.run("down", "-a", "app", "-y", "--purge", code=2).stderr


def test_a_daemon_that_dies_purging_leaves_it_to_the_next(home: Home) -> None:
    file = home.app(web_file(home.port, extra=KEEPS, IGNORE_TERM=1))
    home.run("secrets", "set", "API_KEY", "-a", "app", stdin="value")
    home.run("up", "-f", str(file))
    down = home.start("down", "-a", "app", "-y", "--purge")
    until(lambda: home.instances()[0]["state"] == "stopping", 60, "it to be stopping")
    home.kill_daemon()
    home.start_daemon()
    output, _ = down.communicate(timeout=60)
    assert down.returncode == 0, output
    assert nothing_is_left(home)


def test_ctrl_c_while_it_builds_changes_nothing(home: Home) -> None:
    """It builds no more, and holds nobody up."""
    file = home.app(web_file(home.port, VERSION="one"))
    home.run("up", "-f", str(file))
    file.write_text(web_file(home.port, extra='build: "echo it has begun; exec sleep 1000"', VERSION="two"))
    up = home.start("up", "-f", str(file))
    until(lambda: "it has begun" in home.run("events", "-a", "app").stdout, 60, "the build to begin")
    up.send_signal(signal.SIGINT)
    output, _ = up.communicate(timeout=60)
    assert up.returncode == 130 and "interrupted: nothing was changed" in output
    assert "was cancelled by" in home.run("events", "-a", "app").stdout
    home.run("restart", "-a", "app", "web")
    assert home.get().headers["x-version"] == "one" and len(history(home)) == 1
    assert not any(sleeps(process) for process in home.processes())


def sleeps(process: psutil.Process) -> bool:
    with suppress(psutil.Error):  # others end just now
        return process.cmdline() == ["sleep", "1000"]
    return False


def history(home: Home) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(home.run("history", "-a", "app", "-o", "json").stdout)
    return found


def nothing_is_left(home: Home) -> bool:
    state = home.home / "state"
    unknown = home.run("secrets", "list", "-a", "app", code=None).returncode == 2
    return unknown and not list(state.glob("volumes/app")) + list(state.glob("logs/app"))
