"""Readiness takes an instance out of the gateway, liveness starts it again."""

from __future__ import annotations

import httpx
import pytest

from tests.e2e.home import HEALTH, Home, web_file
from tests.support.load import Load
from tests.support.wait import until

pytestmark = pytest.mark.patterns("process", "shared", "container", "vm")  # an invoker is not asked


def spoil(home: Home) -> str:
    """Tell one instance, past the gateway, to be unwell from now on; its id."""
    victim = home.instances()[0]
    httpx.get(f"http://{victim['address']}/unready", timeout=30)
    return str(victim["id"])


def one(home: Home, name: str) -> dict[str, object]:
    return next(instance for instance in home.instances() if instance["id"] == name)


def with_health(home: Home, health: str) -> str:
    text = web_file(home.port, instances=2, VERSION="one")
    return text.replace(HEALTH, health)


def test_an_unwell_instance_gets_no_requests(home: Home) -> None:
    home.run("up", "-f", str(home.app(with_health(home, "{path: /healthz, interval: 200ms, failures: 2, grace: 1h}"))))
    with Load(f"http://127.0.0.1:{home.port}/pid", connections=2, rps=100) as load:
        name = spoil(home)
        until(lambda: one(home, name)["state"] == "unready", 60, "it to be taken out")
        pid = str(one(home, name)["pid"])
        until(lambda: all(home.get("/pid").text != pid for _ in range(10)), 60, "the other to answer alone")
    assert not load.report().failures, str(load.report())
    assert one(home, name)["restarts"] == 0
    assert "answered 503" in home.run("explain", "-a", "app", "web").stdout


def test_a_hung_instance_is_started_again(home: Home) -> None:
    live = "live: {path: /healthz, interval: 200ms, failures: 2}"
    home.run("up", "-f", str(home.app(with_health(home, f"{{path: /healthz, interval: 1s, grace: 1h, {live}}}"))))
    name = spoil(home)
    until(lambda: one(home, name)["restarts"] and one(home, name)["state"] == "ready", 60, "it to be well again")


LOOK = 'import os; os.stat("/data/ready"); assert os.environ["VERSION"] == "one"'


def test_a_health_command_is_run_inside(home: Home) -> None:
    """In the instance's own namespace and environment; a service without a port can have one too."""
    health = f"{{command: [/usr/bin/python3, -c, {LOOK!r}], interval: 200ms, failures: 1, timeout: 30s, grace: 1h}}"
    text = web_file(home.port, extra="volumes: [{name: data, path: /data}]", VERSION="one")
    text = text.replace(HEALTH, health)
    up = home.start("up", "-f", str(home.app(text)))
    until(lambda: home.has_app() and home.instances(), 60, "it to be deployed")
    until(lambda: home.instances()[0]["state"] == "starting" and home.instances()[0]["pid"], 60, "it to be started")
    touch = ("exec", "-a", "app", "web", "--", "/usr/bin/python3", "-c", "open('/data/ready', 'w')")
    until(lambda: home.run(*touch, code=None).returncode == 0, 120, "its machine, if it is one, to have booted")
    assert up.wait(60) == 0
    home.run("exec", "-a", "app", "web", "--", "/usr/bin/python3", "-c", "import os; os.unlink('/data/ready')")
    until(lambda: home.instances()[0]["state"] == "unready", 60, "it to be unwell")
