"""Routes move like everything else: nothing is lost, a failure changes nothing, and nobody stands in another's way."""

from __future__ import annotations

from tests.e2e.home import Home
from tests.gateway.pem import self_signed
from tests.support.load import Load
from tests.support.wait import until

SERVICE = """
  {name}:
    source: ./web
    run: exec /usr/bin/python3 web.py
    port: 8080
    route: {{path: {path}, strip: true}}
    health: {{path: /healthz, interval: 1s}}
    stop: {{drain: 20s, grace: 5s}}
    env: {env}
"""


def file(*services: str, app: str = "app", listen: str = "LISTEN") -> str:
    return f"app: {app}\nservices:{''.join(services)}\ngateway: {{listen: '{listen}'}}\n"


def service(name: str, path: str, **env: str) -> str:
    return SERVICE.format(name=name, path=path, env=env or {"UNUSED": "1"})


def load(home: Home) -> Load:
    return Load(f"http://127.0.0.1:{home.port}/shop", connections=4, rps=150, version=r"(?i)x-version: (\w+)")


def flowing(running: Load) -> None:
    goal = running.report().ok + 50
    until(lambda: running.report().ok >= goal, 60, "requests to be answered")


def unharmed(running: Load) -> set[str]:
    report = running.report()
    assert not report.failures, str(report)
    return set(report.versions)


def test_a_route_passes_to_a_new_service_without_a_gap(home: Home) -> None:
    path = home.app(file(service("web", "/shop", VERSION="one")))
    home.run("up", "-f", str(path))
    with load(home) as running:
        flowing(running)
        home.app(file(service("web2", "/shop", VERSION="two", STARTUP_DELAY="2")))
        home.run("up", "-f", str(path), "--prune")
        flowing(running)
    assert unharmed(running) == {"one", "two"}
    assert [each["name"] for each in home.status()["services"]] == ["web2"]


def test_a_release_that_crashes_moves_no_route(home: Home) -> None:
    path = home.app(file(service("web", "/shop", VERSION="one")))
    home.run("up", "-f", str(path))
    with load(home) as running:
        flowing(running)
        home.app(file(service("web", "/store", EXIT_CODE="3")))
        home.run("up", "-f", str(path), code=1)
        flowing(running)
    assert unharmed(running) == {"one"}
    assert home.get("/store").status_code == 404


def test_an_app_that_does_not_fit_is_refused_and_harms_nobody(home: Home) -> None:
    path = home.app(file(service("web", "/shop", VERSION="one")))
    home.run("up", "-f", str(path))
    other = home.app(file(service("web", "/other"), app="other", listen=f":{home.port}"), "other")
    with load(home) as running:
        refused = home.run("up", "-f", str(other), code=2)
        assert f"cannot listen on port {home.port}" in refused.stderr
        home.run("restart", "-a", "app")
        flowing(running)
    unharmed(running)
    assert home.run("apps", "-o", "json").stdout.count('"name"') == 1


def test_purge_leaves_no_private_key(home: Home) -> None:
    text = file(service("web", "/shop"))
    path = home.app(text.replace("LISTEN'}", "LISTEN', tls: {cert: c.pem, key: c.pem}}"))
    path.with_name("c.pem").write_bytes(self_signed())
    home.run("up", "-f", str(path))
    home.run("plan", "-f", str(path))
    assert len(home.holding(b"PRIVATE KEY")) == 2  # the one given, and the one that HAProxy reads
    home.run("down", "-a", "app", "-y", "--purge")
    assert home.holding(b"PRIVATE KEY") == []
