"""`compare` beside a live service: what it finds, that it leaves nothing behind however it ends, and harms nobody."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.home import Home, web_file
from tests.e2e.traffic import Traffic
from tests.support.wait import until

KEEPS = "volumes: [{name: data, path: /data}]\nsecrets: [API_KEY]"
BRIEF = ("--quick", "--duration", "1s", "-a", "app")
ONLY_LIVE = "case $FOURFOLD_APP in compare-*) exit 3;; esac; exec /usr/bin/python3 web.py"
"""`run` of what works for its users, and nowhere else."""
MEASURED = (
    "build_seconds", "rebuild_seconds", "start_seconds", "restart_seconds", "deploy_seconds", "idle_memory_bytes",
    "requests_per_second", "cpu_seconds_per_1000_requests", "monthly_cost",
)  # fmt: skip
TABLES = ("apps", "services", "releases", "instances", "deployments", "builds", "secrets", "uids", "ports")


def test_two_patterns_beside_the_live_service(home: Home) -> None:
    """One that it cannot run under is listed with the reason; the live one loses nothing and is deployed meanwhile."""
    file = bring(home, extra=KEEPS, VERSION="one")
    before = there_is(home)
    with Traffic(home.port, rps=10) as traffic:
        comparing = home.start("compare", "web", "--as", "process,shared", *BRIEF, "-o", "json", "--progress", "json")
        until(lambda: comparing.poll() is not None or len(candidates(home)) == 1, 60, "a candidate")
        home.web(file, VERSION="two")  # with the secret and the volume no more
        home.run("up", "-f", str(file))
        assert [each["name"] for each in apps(home)] == ["app"], "candidates are nobody's apps"
        said, _ = comparing.communicate(timeout=150)
        traffic.flow()
    traffic.unharmed()
    assert comparing.returncode == 0, said
    lines = said.splitlines()
    begin = lines.index("{")
    document = json.loads("\n".join(lines[begin:]))
    assert (document["release"], home.service()["release"]) == (1, 2)
    happened = [each["message"] for each in home.events() if each["kind"] in ("deploy.done", "operation.done")]
    if happened[-1].startswith("compare"):  # else this machine is so slow that the deploy came after it
        assert "web itself was deployed meanwhile" in document["noise"]
    process, shared = document["patterns"]
    assert (process["pattern"], process["available"], process["live"]) == ("process", True, True)
    for name in MEASURED:
        assert process[name] > 0, name
    assert (process["errors"], process["requests_lost_in_deploy"], process["reason"]) == (0, 0, None)
    assert process["facts"]["own_process"]
    assert not shared["available"]
    assert "no volumes of their own" in shared["reason"]
    told = [json.loads(line) for line in lines[:begin]]
    steps = [each["data"] for each in told if each["kind"] == "compare.progress"]
    assert [each["done"] for each in steps] == list(range(len(steps)))
    assert there_is(home) == before
    assert json.loads(home.run("compare", "web", "--last", "-a", "app", "-o", "json").stdout) == document


def test_a_pattern_that_fails_leaves_nothing(home: Home) -> None:
    file = home.app(web_file(home.port).replace("exec /usr/bin/python3 web.py", json.dumps(ONLY_LIVE)))
    home.run("up", "-f", str(file))
    before = there_is(home)
    done = home.run("compare", "web", "--as", "process", *BRIEF, code=1)
    assert "it could be measured under no pattern: process: " in done.stderr
    assert "exit code 3" in done.stderr
    assert there_is(home) == before
    assert home.get("/").status_code == 200


def test_ctrl_c_takes_all_away(home: Home) -> None:
    bring(home, extra=KEEPS)
    before = there_is(home)
    comparing = home.start("compare", "web", "--as", "process", *BRIEF)
    until(lambda: any("round 1" in each["message"] for each in home.events()), 90, "a round")
    comparing.send_signal(signal.SIGINT)
    said, _ = comparing.communicate(timeout=60)
    assert comparing.returncode == 130, said
    assert said.endswith("interrupted: taking away what it has started\ninterrupted: nothing of it is left\n")
    assert there_is(home) == before


@pytest.mark.parametrize("how", ["killed", pytest.param("stopped", marks=pytest.mark.full)])
def test_when_the_daemon_goes_away_meanwhile(home: Home, how: str) -> None:
    """A daemon that ends takes them away itself; after one that was killed, the next does."""
    bring(home, extra=KEEPS)
    before = there_is(home)
    comparing = home.start("compare", "web", "--as", "process", *BRIEF)
    until(lambda: any("round 1" in each["message"] for each in home.events()), 90, "a round")
    if how == "killed":
        home.kill_daemon()
        assert any(path.name.startswith("compare-") for path in (home.state / "logs").iterdir())
    else:
        home.run("daemon", "stop")
        assert there_is(home) == before
    home.start_daemon()
    said, _ = comparing.communicate(timeout=60)
    assert comparing.returncode == 1, said
    until(lambda: is_as(before, home), 60, "all of it to be gone")
    assert home.get("/").status_code == 200


def test_what_cannot_be_compared_is_refused(home: Home) -> None:
    bring(home)
    for words, why in (
        (("nothing",), "cannot find service nothing"),
        (("web", "--as", "teleport"), "there is no pattern 'teleport'"),
        (("web", "--requests", "/nowhere"), "cannot read the requests in /nowhere"),
        (("web", "--html", "/nowhere/report.html"), "there is no such folder"),
        (("web", "--rps", "0"), "--rps"),
        (("web", "--last"), "it was never compared"),
    ):
        assert why in home.run("compare", *words, "-a", "app", code=2).stderr
    assert not candidates(home)


def bring(home: Home, **given: Any) -> Path:
    file = home.app(web_file(home.port, **given))
    home.run("secrets", "set", "API_KEY", "-a", "app", stdin="value")
    home.run("up", "-f", str(file))
    return file


def apps(home: Home) -> list[dict[str, Any]]:
    answer: list[dict[str, Any]] = json.loads(home.run("apps", "-o", "json").stdout)
    return answer


def candidates(home: Home) -> list[str]:
    return [name for name in rows(home)["apps"] if name.startswith("compare-")]


def rows(home: Home) -> dict[str, set[str]]:
    """Table -> the apps that it knows of, but for Fourfold's own."""
    with closing(sqlite3.connect(home.state / "fourfold.db")) as database:
        columns = {table: "name" if table == "apps" else "app" for table in TABLES}
        return {
            table: {name for (name,) in database.execute(f"SELECT {column} FROM {table}")} - {"fourfold"}
            for table, column in columns.items()
        }


def named(home: Home) -> list[str]:
    """Tables in which anything of a candidate is; what has happened is told for a while."""
    with closing(sqlite3.connect(home.state / "fourfold.db")) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return [
            name
            for name in tables
            if name != "events" and any("compare-" in str(row) for row in database.execute(f"SELECT * FROM {name}"))
        ]


def is_as(before: dict[str, Any], home: Home) -> bool:
    """Or the AssertionError says in what it is not."""
    assert there_is(home) == before
    return True


def there_is(home: Home) -> dict[str, Any]:
    """Of which anything could be left behind."""
    groups = [path for top in ("", "*/") for path in Path("/sys/fs/cgroup").glob(f"{top}{home.group}/*")]
    kept = {name: (home.state / name).iterdir() for name in ("caches", "logs", "volumes", "usage")}
    mounts = subprocess.run(["cat", "/proc/self/mountinfo"], capture_output=True, text=True, check=True).stdout
    return {
        "rows": rows(home),
        "named": named(home),
        "folders": {name: sorted(path.name for path in paths) for name, paths in kept.items()},
        "groups": sorted({path.name.partition(".")[0] for path in groups if path.is_dir()}),
        "mounts": [line for line in mounts.splitlines() if "compare-" in line and str(home.home) in line],
        "run": sorted(path.name for path in (home.home / "run").rglob("*compare-*")),
    }
