"""Groups: what their members share, and what they do not take from each other."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.home import Home
from tests.e2e.traffic import Traffic
from tests.support.load import Load
from tests.support.wait import until

SERVICES = Path(__file__).parents[1] / "support" / "services"
APP = """\
app: app
groups:
  node: {kind: node}
  py: {kind: python}
services:
  worker:
    source: ./web
    run: node web.mjs
    port: 8080
    route: {path: /worker, strip: true}
    health: {path: /healthz}
    pattern: shared
    shared: {group: node}
    env: {VERSION: WORKER}
  good:
    source: ./good
    port: 8080
    route: {path: /good}
    health: {path: /good/healthz}
    pattern: shared
    shared: {group: py, app: "app:app"}
  bad:
    source: ./bad
    port: 8080
    route: {path: /bad, timeout: 5s}
    health: {path: /bad/healthz}
    pattern: shared
    shared: {group: py, app: "app:app", on_abuse: evict}
gateway: {listen: "LISTEN"}
"""


class Shared:
    """An app with a worker in one group, and two mounted apps in another."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.file = home.app(APP.replace("VERSION: WORKER", "VERSION: one"))
        for name in ("good", "bad"):
            self.version(name, "one")

    def version(self, name: str, version: str) -> None:
        folder = self.file.parent / name
        folder.mkdir(exist_ok=True)
        (folder / "app.py").write_text((SERVICES / "app.py").read_text().replace("VERSION IS PUT HERE", version))

    def up(self, code: int = 0) -> str:
        done = self.home.run("up", "-f", str(self.file), code=code)
        return done.stdout + done.stderr

    def move(self, service: str, pattern: str) -> None:
        self.home.run("deploy", "-f", str(self.file), service, "--as", pattern)
        assert self.home.service(service)["pattern"] == pattern

    def one(self, service: str) -> dict[str, Any]:
        """Its one instance, once those before it have ended."""
        until(lambda: len(self.home.instances(service)) == 1, 60, f"several of {service} are there")
        (instance,) = self.home.instances(service)
        return instance

    def traffic(self, service: str) -> Load:
        return Load(
            f"http://127.0.0.1:{self.home.port}/{service}/", connections=2, rps=10, version=r"(?i)x-version: (\w+)"
        )

    def all_ready(self) -> bool:
        return all(service["ready"] == 1 for service in self.home.status()["services"])


@pytest.fixture
def app(home: Home) -> Shared:
    shared = Shared(home)
    shared.up()
    return shared


def test_what_dies_comes_back_and_what_fails_fails_alone(app: Shared) -> None:
    """Daemon, spawner and hosts are killed; new versions fail; the members beside them answer all the time."""
    home = app.home
    pids = {name: app.one(name)["pid"] for name in ("worker", "good", "bad", "node", "py")}
    assert pids["good"] == pids["bad"] == pids["py"] and pids["worker"] != pids["node"]
    assert {app.one(name)["host"] for name in ("good", "bad")} == {app.one("py")["id"]}
    with app.traffic("good") as good, app.traffic("worker") as worker:
        app.file.write_text(app.file.read_text().replace("VERSION: one", 'VERSION: two, EXIT_CODE: "3"'))
        said = app.up(code=1)
        assert "exit code 3" in said and "web: cannot start: told to exit" in said, said
        app.file.write_text(app.file.read_text().replace('VERSION: two, EXIT_CODE: "3"', "VERSION: one"))
        app.version("bad", "broken")
        assert "No module named 'there_is_no_such_module'" in app.up(code=1)
        app.version("bad", "one")
        assert home.get("/bad/").headers["x-version"] == "one" and home.get("/worker/").headers["x-version"] == "one"
        home.kill_daemon()
        home.spawner().kill()
        home.start_daemon()
        assert {name: app.one(name)["pid"] for name in pids} == pids, "all of it was taken over"
    for load in (good, worker):
        assert load.report().ok and not load.report().failures, str(load.report())
    os.kill(pids["worker"], signal.SIGKILL)
    until(lambda: app.one("worker")["restarts"] == 1 and app.all_ready(), 60, "the worker to be back")
    assert app.one("worker")["exit"]["signal"] == 9 and app.one("node")["pid"] == pids["node"]
    host_dies(app, "node", ("worker",), meanwhile="good")
    host_dies(app, "py", ("good", "bad"), meanwhile="worker")
    home.run("down", "-a", "app", "-y")
    until(lambda: not home.of_instances(), 60, "all to be gone")


def host_dies(app: Shared, group: str, members: tuple[str, ...], meanwhile: str) -> None:
    pid = app.one(group)["pid"]
    with app.traffic(meanwhile) as other:
        os.kill(pid, signal.SIGKILL)
        until(lambda: app.one(group)["pid"] not in (None, pid) and app.all_ready(), 60, "all to be back")
    assert not other.report().failures, str(other.report())
    served = [f"/{name}/" for name in members]  # the gateway is told some milliseconds after `status`
    until(lambda: all(app.home.get(path).headers.get("x-version") == "one" for path in served), 60, "all to be served")
    assert {app.one(name)["host"] for name in members} == {app.one(group)["id"]}


def test_members_move_in_and_out_and_are_told_apart(app: Shared) -> None:
    """A worker, and one of two mounted apps whose other one stays: nobody loses a request."""
    home = app.home
    workers, mounted = (Traffic(home.port, rps=5, at=f"/{name}") for name in ("worker", "bad"))
    with workers, mounted, app.traffic("good") as stays:
        for to in ("process", "shared"):
            for name, traffic in (("worker", workers), ("bad", mounted)):
                traffic.flow()
                app.move(name, to)
                assert (app.one(name)["host"] is None) == (to == "process") and app.one(name)["release"] == 1
                traffic.flow()
        app.version("bad", "two")
        app.up()
        mounted.flow()
        home.run("rollback", "-a", "app", "bad")
        home.run("restart", "-a", "app", "py")
        for traffic in (workers, mounted):
            traffic.flow()
    workers.unharmed()
    assert set(mounted.unharmed()) == {"one", "two"}
    assert stays.report().ok and not stays.report().failures, str(stays.report())
    with home.api() as api:
        rows = {row["service"]: row for row in api.get("/v1/top", params={"app": "app"}).raise_for_status().json()}
    assert rows["worker"]["traffic"]["requests"] > 0 and rows["good"]["traffic"]["requests"] > 0
    worth = {name: (row["cpu"], row["memory"]) for name, row in rows.items()}
    assert worth["worker"] == worth["py"] == worth["node"] == ("measured", "measured")
    assert worth["good"] == ("measured", "estimated") and rows["good"]["processes"] is None


def test_one_that_spins_is_found_named_and_moved_out(home: Home) -> None:
    """And what it leaves spinning in the process of the others ends with that, which is replaced under their load."""
    home.environ |= {"FOURFOLD_ABUSE_SECONDS": "2", "FOURFOLD_ABUSE_CPU": "0.05"}
    app = Shared(home)
    app.up()
    host = app.one("py")
    with app.traffic("good") as good:
        home.get("/bad/spin?seconds=3600")
        until(lambda: home.service("bad")["pattern"] == "process", 60, "it to be moved out")
        until(
            lambda: app.one("py")["id"] != host["id"] and app.all_ready(), 60, "the others to be in a host of their own"
        )
    assert good.report().ok and not good.report().failures, str(good.report())
    assert not psutil.pid_exists(host["pid"]), "its thread spins on"
    told = {event["kind"]: event for event in home.events()}
    abuse = told["neighbour.abuse"]
    assert abuse["service"] == "bad" and abuse["message"].startswith("bad ") and "CPU" in abuse["message"]
    assert told["neighbour.evicted"]["actor"] == "fourfold"
    assert home.service("bad")["overrides"] == {"pattern": "process"}
    assert home.get("/bad/").headers["x-version"] == "one"


JVM = """\
app: app
groups:
  apps: {kind: KIND, java_opts: -Xmx200m -XX:+UseSerialGC}
services:
MEMBERS
gateway: {listen: "LISTEN"}
"""
EXAMPLES = Path(__file__).parents[2] / "examples" / "webapps"


def of_jvm(home: Home, kind: str, members: dict[str, str]) -> Path:
    """With copies of examples: name -> more keys."""
    usual = "port: 8080, pattern: shared, shared: {group: apps}"
    lines = [f"  {name}: {{{usual}, route: {{path: /{name}}}, {more}}}" for name, more in members.items()]
    file = home.app(JVM.replace("KIND", kind).replace("MEMBERS", "\n".join(lines)))
    for name in members:
        if (EXAMPLES / name).exists():
            shutil.copytree(EXAMPLES / name, file.parent / name)
    return file


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def jvm_members_change(home: Home, file: Path, one: str, other: str, breaking: tuple[Path, str, str], why: str) -> None:
    """Under load on two members: one is broken, and it is said why; it is moved out and in; nobody loses a request."""
    with loading(home, one) as first, loading(home, other) as second:
        edit(*breaking)
        failed = home.run("up", "-f", str(file), code=1)
        assert why in failed.stdout + failed.stderr, failed.stdout + failed.stderr
        edit(breaking[0], breaking[2], breaking[1])
        for to in ("process", "shared"):
            home.run("deploy", "-f", str(file), one.split("/")[1], "--as", to)
    for load in (first, second):
        assert load.report().ok and not load.report().failures, str(load.report())
    (row,) = home.instances(other.split("/")[1])
    assert (
        row["cpu"] == "measured" and row["traffic"]["requests"] > 0 and row["pid"] == home.instances("apps")[0]["pid"]
    )
    os.kill(row["pid"], signal.SIGKILL)
    until(lambda: [i["restarts"] for i in home.instances("apps")] == [1], 60, "the JVM to be back")
    until(lambda: all(service["ready"] == 1 for service in home.status()["services"]), 60, "its members to be back")
    until(lambda: all(home.get(path).status_code == 200 for path in (one, other)), 60, "the gateway to send to them")


def loading(home: Home, path: str) -> Load:
    return Load(f"http://127.0.0.1:{home.port}{path}", connections=2, rps=10)


def test_web_applications_in_one_tomcat(home: Home) -> None:
    """One of the examples, and Debian's own, as they are."""
    debians = "source: /usr/share/tomcat10-examples/examples, health: {path: /examples/index.html}"
    words = 'source: ./words, build: ./build.sh, env: {LIMIT: "5000"}, health: {path: /words/healthz}'
    file = of_jvm(home, "tomcat", {"words": words, "examples": debians})
    home.run("up", "-f", str(file))
    assert home.get("/words/?text=a+b+a").text == '{"a": 2, "b": 1}\n'
    assert "Hello World!" in home.get("/examples/servlets/servlet/HelloWorldExample").text
    xml = file.parent / "words" / "webapp" / "WEB-INF" / "web.xml"
    listener = "<listener><listener-class>words.Nowhere</listener-class></listener></web-app>"
    breaking = (xml, "</web-app>", listener)
    jvm_members_change(home, file, "/words/?text=a", "/examples/index.html", breaking, "words.Nowhere")


def test_bundles_in_one_framework(home: Home) -> None:
    rates = "source: ./rates, build: ./build.sh, health: {path: /rates/healthz}"
    convert = "source: ./convert, build: ./build.sh, health: {path: /convert/healthz}, depends_on: [rates]"
    file = of_jvm(home, "osgi", {"rates": rates, "convert": convert})
    home.run("up", "-f", str(file))
    assert home.get("/convert/100/USD").text == "92.59 EUR"
    manifest = file.parent / "rates" / "bundle.mf"
    breaking = (manifest, "com.sun.net.httpserver", "com.sun.net.httpserver,no.such.api")
    jvm_members_change(home, file, "/rates/USD", "/convert/1/USD", breaking, "no.such.api")
