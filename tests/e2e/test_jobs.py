"""Jobs, schedules and the queue with real programs, over daemons and services that are killed."""

from __future__ import annotations

import json
import os
import signal
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.home import Home
from tests.support.wait import until

JOB = """\
import os, signal, sys, time
wait = float(os.environ.get("WAIT", "0"))
print("begins with", os.environ.get("FOURFOLD_EVENT", "nothing"), flush=True)
if os.environ.get("DEAF"):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
time.sleep(wait)
print("ends", flush=True)
sys.exit(int(os.environ.get("CODE", "0")))
"""


def jobs_file(home: Home, **services: dict[str, Any]) -> Path:
    """Each a job that runs job.py; `env` and others as given."""
    usual = {
        "source": "./web", "run": "exec /usr/bin/python3 job.py", "job": {}, "pattern": home.environ["TEST_PATTERN"],
        "stop": {"grace": "1s"},
    }  # fmt: skip
    whole = {"app": "app", "services": {name: {**usual, **given} for name, given in services.items()}}
    file = home.app(json.dumps(whole))
    (file.parent / "web" / "job.py").write_text(JOB)
    return file


def runs(home: Home, service: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(home.run("history", service, "--runs", "-o", "json", "-a", "app").stdout)
    return found


@pytest.mark.patterns("process", "container", "vm")
def test_a_run_passes_lines_and_exit_code_on(home: Home) -> None:
    home.run("up", "-f", str(jobs_file(home, nightly={"env": {"CODE": "7"}, "job": {"retries": 1}})), patience=600)
    service = home.service("nightly")
    assert (service["desired"], service["instances"], service["job"]["running"]) == (0, [], 0)
    done = home.run("run", "nightly", "-a", "app", code=7)
    lines = [line for line in done.stdout.splitlines() if not line.startswith(("fourfold: ", "["))]  # a machine's own
    assert lines == ["begins with nothing", "ends"] * 2
    assert "exit code 7 (tried 2 times)" in done.stderr
    (run,) = runs(home, "nightly")
    assert (run["state"], run["code"], run["attempts"], run["source"]) == ("failed", 7, 2, "run")
    assert "7" in home.run("history", "nightly", "-a", "app").stdout
    other = home.run("history", "nigthly", "--runs", "-a", "app", code=2)
    assert "cannot show the history of nigthly: app app has nightly" in other.stderr
    assert "begins with nothing" in home.run("logs", "nightly", "-a", "app").stdout
    assert home.service("nightly")["job"]["last"]["id"] == run["id"]


def test_what_takes_too_long_is_ended_and_stop_and_deploy_do_as_they_should(home: Home) -> None:
    slow = {"env": {"WAIT": "600", "DEAF": "1"}}
    file = jobs_file(home, slow=slow | {"job": {"timeout": "1s"}}, long=slow)
    home.run("up", "-f", str(file))
    done = home.run("run", "slow", "-a", "app", code=1)
    assert "did not end within 1s" in done.stderr and runs(home, "slow")[0]["state"] == "timeout"

    id = home.run("run", "long", "-a", "app", "--detach").stdout.strip()
    until(lambda: "begins" in home.run("logs", "long", "-a", "app").stdout, 60)
    pid = home.service("long")["instances"][0]["pid"]
    file.write_text(file.read_text().replace("600", "601"))
    home.run("deploy", "long", "-f", str(file))
    (instance,) = home.service("long")["instances"]
    assert (instance["id"], instance["pid"], instance["release"], instance["state"]) == (id, pid, 1, "running")
    home.run("stop", "long", "-a", "app")
    until(lambda: runs(home, "long")[0]["state"] == "stopped", 60)
    home.run("run", "long", "-a", "app", code=2)
    assert not home.of_instances()

    home.run("restart", "long", "-a", "app")
    home.run("run", "long", "-a", "app", "--detach")
    until(lambda: len(home.of_instances()) == 1, 60)
    home.run("down", "-y", "-a", "app")
    assert not home.of_instances() and not home.has_app()


def test_a_schedule_and_a_run_go_on_over_the_death_of_the_daemon(home: Home) -> None:
    every_second = [{"schedule": {"rate": "1s", "overlap": "allow"}}]
    file = jobs_file(
        home,
        tick={
            "run": "echo $FOURFOLD_EVENT >> /data/events",
            "volumes": [{"name": "data", "path": "/data"}],
            "triggers": every_second,
        },
        long={
            "run": "echo begins; until [ -e /data/go ]; do sleep 0.05; done; echo ends; exit 5",
            "volumes": [{"name": "data", "path": "/data"}],
        },
    )
    home.run("up", "-f", str(file))
    volumes = home.state / "volumes" / "app"
    kept = volumes / "tick" / "data" / "events"

    def times() -> list[float]:
        lines = kept.read_text().splitlines() if kept.exists() else []
        return [datetime.fromisoformat(json.loads(line)["time"].replace("Z", "+00:00")).timestamp() for line in lines]

    waiting = home.start("run", "long", "-a", "app")
    until(lambda: len(times()) >= 2 and home.service("long")["instances"], 60)
    for _ in range(2):
        home.kill_daemon()
        home.start_daemon()
    (volumes / "long" / "data" / "go").touch()
    printed, _ = waiting.communicate(timeout=60)
    assert waiting.returncode == 5 and printed.count("begins") == printed.count("ends") == 1
    last = max(times())
    until(lambda: in_a_row([each for each in times() if each > last]) >= 3, 60, "one each second")
    found = times()
    assert len(found) == len(set(found)), "one was fired twice"
    assert all(run["state"] in ("ok", "running") for run in runs(home, "tick"))


def in_a_row(times: list[float]) -> int:
    """The most that came a second after each other. One that is late is left out, or its line comes after the next."""
    longest = length = 1
    for first, second in pairwise(sorted(times)):
        length = length + 1 if second - first == 1 else 1
        longest = max(longest, length)
    return longest


EVENTS = """\
import http.server, os, pathlib
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        seen = pathlib.Path("/data/events")
        with seen.open("ab") as file:
            file.write(self.path.encode() + b" " + body + b"\\n")
        refused = body == os.environ.get("REFUSED", "").encode()
        self.send_response(500 if refused else 200); self.end_headers()
http.server.ThreadingHTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Handler).serve_forever()
"""


def test_events_outlive_daemon_and_service_and_failed_ones_are_replayed(home: Home) -> None:
    service = {
        "source": "./web", "run": "exec /usr/bin/python3 events.py", "port": 8080, "function": {"retries": 0},
        "volumes": [{"name": "data", "path": "/data"}], "env": {"REFUSED": '{"bad":1}'}, "stop": {"grace": "1s"},
    }  # fmt: skip
    file = home.app(json.dumps({"app": "app", "services": {"web": service}}))
    (file.parent / "web" / "events.py").write_text(EVENTS)
    home.run("up", "-f", str(file))
    kept = home.state / "volumes" / "app" / "web" / "data" / "events"

    def seen() -> list[str]:
        return kept.read_text().splitlines() if kept.exists() else []

    os.kill(home.instances()[0]["pid"], signal.SIGSTOP)  # it takes events, and answers none
    ids = [home.run("invoke", "web", "--async", "-d", f'{{"n":{n}}}', "-a", "app").stdout.strip() for n in (1, 2)]
    home.kill_daemon()
    os.kill(next(p.pid for p in home.of_instances()), signal.SIGKILL)
    home.start_daemon()
    until(lambda: {'/events {"n":1}', '/events {"n":2}'} <= set(seen()), 60, "the events to come again")
    assert len(set(ids)) == 2

    id = home.run("invoke", "web", "--async", "-d", '{"bad":1}', "-a", "app").stdout.strip()

    def failed() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(home.run("events", "--failed", "-o", "json", "-a", "app").stdout)
        return found

    until(lambda: bool(failed()), 60)
    (event,) = failed()
    assert (event["id"], event["reason"], event["payload"]) == (id, "RetriesExhausted", '{"bad":1}')
    assert id in home.run("events", "--failed", "web", "-a", "app").stdout
    home.run("events", "replay", "nonsense", "-a", "app", code=2)
    before = len(seen())
    assert home.run("events", "replay", "--all", "web", "-a", "app").stdout.strip() == id
    until(lambda: len(seen()) == before + 1 and len(failed()) == 1, 60, "it to fail again")
    assert home.run("events", "replay", id, "-a", "app").stdout.strip() == id
