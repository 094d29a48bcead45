"""What services took and answered is recorded, each request once, whatever ends or begins meanwhile."""

from __future__ import annotations

import os
import signal
import sqlite3
from contextlib import closing
from typing import Any

from tests.e2e.home import Home, web_file
from tests.support.wait import until


def hours(home: Home) -> list[dict[str, Any]]:
    with home.api() as api:
        answer: list[dict[str, Any]] = api.get("/v1/apps/app/usage").raise_for_status().json()["hours"]
    return answer


def costs(home: Home) -> list[dict[str, Any]]:
    with home.api() as api:
        answer: list[dict[str, Any]] = api.get("/v1/apps/app/cost").raise_for_status().json()["services"]
    return answer


def test_each_request_is_counted_once(home: Home) -> None:
    file = home.app(web_file(home.port, instances=2))
    home.run("up", "-f", str(file))
    asked = 0

    def ask(count: int) -> None:
        nonlocal asked
        for _ in range(count):
            assert home.get("/").status_code == 200
        asked += count

    ask(7)
    before = hours(home)
    process = costs(home)[0]["patterns"][0]
    assert process["place"] == "EC2 host" and process["instances_peak"] == 2
    assert process["monthly_cost"] > process["own_hardware_monthly_cost"] > 0
    ask(5)
    file.write_text(web_file(home.port, instances=2).replace("{path: /}", "[{path: /}, {path: /more}]"))
    home.run("up", "-f", str(file))  # HAProxy is reloaded, and both instances are replaced
    ask(6)
    victim = next(each for each in home.instances() if each["state"] == "ready")
    os.kill(victim["pid"], signal.SIGKILL)
    until(lambda: all(each["state"] == "ready" and each["pid"] != victim["pid"] for each in home.instances()), 60)
    ask(4)
    home.kill_daemon()
    ask(9)
    home.start_daemon()
    ask(3)
    home.run("restart", "web")
    home.run("down", "-y")
    assert costs(home) == [], "there is none"
    found = stored(home)
    assert (found["requests"], found["errors"]) == (asked, 0)
    assert found["cpu_seconds"] > 7 * 0.01, "each start of Python takes more"
    assert found["memory_byte_seconds"] > found["instance_seconds"] * 2**20
    assert any(hour["requests"] > 0 for hour in before), "of this hour, or of the one that has just ended"
    assert 0 < max(hour["instances"] for hour in before) < 3, "two, and fewer while they started"


def stored(home: Home) -> dict[str, float]:
    columns = ("requests", "errors", "cpu_seconds", "memory_byte_seconds", "instance_seconds")
    with closing(sqlite3.connect(home.state / "fourfold.db")) as database:
        (sums,) = database.execute(f"SELECT {', '.join(map('sum({})'.format, columns))} FROM usage_hours")
    return dict(zip(columns, sums, strict=True))
