"""Groups as services among others: brought up with their members, restarted, scaled, changed under load, stopped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.home import Home
from tests.support.load import Load
from tests.support.nobody import as_nobody
from tests.support.wait import until

APP = """
import os

async def app(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"VERSION " + os.environ["FOURFOLD_SERVICE"].encode()})
"""
FILE = """
app: app
groups:
  pages: {kind: python, env: {LEVEL: info}}
services:
  one: {source: ./one, pattern: shared, port: 80, route: {path: /one}, shared: {group: pages, app: "app:app"}}
  two: {source: ./two, pattern: shared, port: 80, route: {path: /two}, shared: {group: pages, app: "app:app"}}
gateway: {listen: "LISTEN"}
"""


@pytest.fixture
def users() -> Iterator[Home]:
    made = Home(nobody=True)
    try:
        yield made
    finally:
        made.close()


def write(home: Home, file: Path, name: str, version: str) -> None:
    folder = file.parent / name
    folder.mkdir(exist_ok=True)
    (folder / "app.py").write_text(APP.replace("VERSION", version))
    folder.chmod(0o755)


def prepare(home: Home, text: str = FILE) -> Path:
    file = home.app(text)
    for name in ("one", "two"):
        write(home, file, name, "v1")
    return file


def settled(home: Home, hosts: int = 1) -> bool:
    """As many hosts as wanted, each with both members."""
    services = {service["name"]: service["instances"] for service in home.status()["services"]}
    found = {instance["id"] for instance in services["pages"] if instance["state"] == "ready"}
    guests = [sorted(each["host"] for each in services[name] if each["state"] == "ready") for name in ("one", "two")]
    whole = all(len(services[name]) == hosts for name in services)
    return whole and len(found) == hosts and guests == [sorted(found)] * 2


def texts(home: Home) -> list[str]:
    return [home.get(f"/{name}").text for name in ("one", "two")]


def test_a_group_and_its_members(home: Home) -> None:
    file = prepare(home)
    at = ("-f", str(file))
    home.run("deploy", *at, "one")
    assert [service["name"] for service in home.status()["services"]] == ["one", "pages"]
    assert "is well" in home.run("explain", *at, "one").stdout
    home.run("up", *at)
    until(lambda: settled(home), 60)
    shown = home.run("status", *at, "-v").stdout
    assert "shared (pages)" in shown and "group (python)" in shown and home.instances("pages")[0]["id"][4:] in shown

    assert "fourfold scale pages=2" in home.run("scale", *at, "one=2", code=2).stderr
    assert "it is a group" in home.run("deploy", *at, "pages", "--as", "process", code=2).stderr

    (file.parent / "one" / "app.py").write_text("import os\nos.kill(os.getpid(), 9)")
    assert "started in it: killed by signal 9" in home.run("up", *at, code=1).stderr  # and it is not tried again
    until(lambda: settled(home) and home.instances("pages")[0]["restarts"] == 1, 60)
    until(lambda: texts(home) == ["v1 one", "v1 two"], 60, "the gateway to know")

    one, two = (
        Load(f"http://127.0.0.1:{home.port}/{name}", connections=2, rps=60, version="(v[0-9])")
        for name in ("one", "two")
    )
    with one, two:
        write(home, file, "one", "v2")
        home.run("up", *at)  # beside the old one, in the same host
        host = home.instances("pages")[0]["id"]
        assert home.get("/one").text == "v2 one" and home.instances("one")[0]["host"] == host
        home.run("restart", *at, "pages")
        until(lambda: settled(home) and home.instances("pages")[0]["id"] != host, 60)
        home.run("deploy", *at, "one", "--as", "process")
        home.run("deploy", *at, "one", "--as", "shared")
        home.run("scale", *at, "pages=2")
        assert settled(home, 2)
        home.run("scale", *at, "pages=1", "--save")
        until(lambda: settled(home), 60)
        file.write_text(file.read_text().replace("kind: python", "kind: python, mode: forked"))
        assert "built for that" in home.run("deploy", *at, "pages", code=2).stderr
        home.run("up", *at)
        until(lambda: settled(home), 60)
    for load in (one, two):
        assert not load.report().failures, str(load.report())
    until(lambda: home.instances("one")[0]["memory_bytes"], 60, "that of a process of its own, which is metered")
    for name in ("pages", "one"):
        assert "of another kind" in home.run("rollback", *at, name, "--to", "1", code=2).stderr
    assert home.run("exec", *at, "one", "--", "sh", "-c", "id -u; pwd").stdout.split()[0] != "0"

    home.run("stop", *at, "pages")
    assert home.service("one")["stopped"] and home.get("/one").status_code == 503
    assert "one is stopped, with its group pages" in home.run("explain", *at, "one").stdout
    assert "its group pages is stopped" in home.run("restart", *at, "one", code=2).stderr
    home.run("up", *at)
    until(lambda: settled(home) and home.get("/two").text == "v1 two", 60)
    home.run("down", "-y", *at)
    assert not list((home.state / "hosts").iterdir())


@as_nobody
def test_groups_of_an_ordinary_user(users: Home) -> None:
    file = prepare(users, FILE.replace("kind: python", "kind: python, mode: forked"))
    users.run("up", "-f", str(file))
    until(lambda: settled(users), 60)
    assert users.get("/one").text == "v1 one"
    write(users, file, "one", "v2")
    users.run("up", "-f", str(file))
    assert users.get("/one").text == "v2 one"
    users.run("down", "-y", "-f", str(file))
