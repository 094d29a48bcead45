"""A daemon used from elsewhere: over TLS with tokens, and through a real sshd; and who tries what they may not."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import httpx
import psutil
import pytest

from tests.e2e.home import FOURFOLD, Home
from tests.support.remote import Remote
from tests.support.sshd import ALIAS, sshd
from tests.support.wait import until


@pytest.fixture(scope="module")
def remote() -> Iterator[Remote]:
    home = Home()
    try:
        remote = Remote(home)
        home.web(home.app(""))
        remote.token("admin")
        yield remote
    finally:
        home.close()


@pytest.fixture
def file(remote: Remote) -> str:
    return str(remote.home.root / "app" / "fourfold.yaml")


def test_a_team_over_tls(remote: Remote, file: str) -> None:
    home = remote.home
    deploy, read, admin = remote.token("deploy", name="ci"), remote.token("read"), remote.token("admin")
    remote.run(deploy, "up", "-f", file)
    assert home.get().status_code == 200
    assert {event["actor"] for event in home.events() if event["kind"] == "operation.started"} == {"ci"}
    refused = remote.run(read, "up", "-f", file, code=2)
    assert "token a-read has role read, and that takes deploy" in refused.stderr
    refused = remote.run(deploy, "exec", "-a", "app", "web", "id", code=2)
    assert "token ci has role deploy, and that takes admin" in refused.stderr
    assert remote.run(admin, "exec", "-a", "app", "web", "cat", stdin="hello").stdout == "hello"
    remote.run(deploy, "run", "-a", "app", "web", "--", "sh", "-c", "exit 7", code=7)
    refused = remote.run(admin, "daemon", "install", "--print", code=2)
    assert "concerns the machine it is run on" in refused.stderr
    untrusted = home.run("status", "-a", "app", code=1, FOURFOLD_HOST=remote.url, FOURFOLD_TOKEN=read)
    assert "certificate verify failed" in untrusted.stderr
    assert "FOURFOLD_CA" in untrusted.stderr
    with remote.client(deploy) as client:
        assert client.put("/v1/apps/app/secrets", json={"values": {"KEY": "v"}}).status_code == 403
        assert client.post("/v1/apps/app/down", json={"purge": True}).status_code == 403
        assert client.post("/v1/shutdown").status_code == 403
        assert client.get("/openapi.json").status_code == 200
    assert home.has_app()


def test_a_token_for_one_app(remote: Remote, file: str) -> None:
    home = remote.home
    home.run("up", "-f", file)
    with remote.client(remote.token("admin", "--app", "other", name="theirs")) as client:
        assert client.get("/v1/apps").json() == []
        assert client.get("/v1/info").json()["apps"] == []
        assert {event["app"] for event in client.get("/v1/events").json()} <= {"other"}
        for method, path in (
            ("GET", "/v1/apps/app"), ("GET", "/v1/events?app=app"), ("GET", "/v1/top?app=app"), ("POST", "/v1/gc"),
            ("GET", "/v1/tokens"), ("POST", "/v1/apps/app/restart"), ("GET", "/v1/apps/app/logs?follow=true"),
        ):  # fmt: skip
            assert client.request(method, path, json={} if method == "POST" else None).status_code == 403, path
        values = {"values": {"KEY": "v"}, "actor": "somebody else"}
        assert client.put("/v1/apps/other/secrets", json=values).status_code == 204
        assert client.get("/v1/events").json()[-1]["actor"] == "theirs"


def test_what_a_removed_token_holds_open_ends(remote: Remote, file: str) -> None:
    home = remote.home
    home.run("up", "-f", file)
    secret = remote.token("admin", name="gone")
    following = home.start("logs", "-f", "-a", "app", **remote.environ(secret))
    inside = home.start("exec", "-a", "app", "web", "sleep", "1000", **remote.environ(secret))
    until(lambda: any("sleep" in process.cmdline() for process in home.of_instances()), 60)
    home.run("tokens", "rm", "gone")
    assert inside.wait(60) != 0
    until(lambda: not any("sleep" in process.cmdline() for process in home.of_instances()), 60)
    assert following.wait(60) != 0
    with remote.client(secret) as client:
        assert client.get("/v1/info").status_code == 401
    for process in (following, inside):
        process.communicate()


def test_a_renewed_certificate_is_taken(remote: Remote) -> None:
    old = remote.ca.read_bytes()
    with remote.client(remote.token("read")) as before:
        assert before.get("/v1/info").status_code == 200
        (remote.folder / "cert.pem").write_text("not one")
        until(lambda: "cannot use certificate" in remote.home.daemon_log(), 60)
        (remote.folder / "other.pem").write_bytes(old)
        trusted = ssl.create_default_context(cafile=str(remote.folder / "other.pem"))
        assert httpx.get(f"{remote.url}/v1/info", verify=trusted).status_code == 401  # the old one is still in use
        remote.renew()

        def taken() -> bool:
            with suppress(httpx.ConnectError), remote.client(remote.token("read")) as client:
                return client.get("/v1/info").status_code == 200
            return False

        until(taken, 60, "the renewed certificate")
        assert before.get("/v1/info").status_code == 200  # connections that are open stay


def test_who_tries_what_they_may_not(remote: Remote) -> None:
    home = remote.home
    secret = remote.token("admin")
    idle = [connect(remote) for _ in range(140)]  # half of all that there may be, and more
    slow = connect(home.socket)
    slow.sendall(b"GET /v1/info HT")
    with suppress(httpx.TransportError):  # one client has at most half of the connections, and these are all from here
        assert remote.client("").get("/v1/info").status_code == 401
    assert home.api().get("/v1/info").status_code == 200, "the socket's users do not notice"
    for each in idle:
        each.close()

    def again() -> bool:
        with suppress(httpx.TransportError), remote.client(secret) as client:
            return client.get("/v1/info").status_code == 200
        return False

    until(again, 60)
    with remote.client("ff_" + "x" * 43) as client:
        answers = [client.get("/v1/info") for _ in range(20)]
        assert {answer.status_code for answer in answers} == {401, 429}
        assert answers[-1].headers["retry-after"] == "60"
    with remote.client(secret) as client:
        assert client.get("/v1/info").status_code == 200, "a good token is let in all the same"
        assert client.post("/v1/apps/app/stop", content=b"x" * 2_000_000).status_code == 413
        assert client.post("/v1/apps/app/stop", content=iter([b"x" * 100_000] * 20)).status_code == 413
    slow.close()
    told = [event for event in home.api().get("/v1/events").json() if event["kind"] == "security.refused"]
    assert {"token", "connections"} <= {event["data"]["reason"] for event in told}
    assert len(told) < 40
    checks = {check["name"]: check for check in home.api().get("/v1/doctor").json()}
    assert re.search(r"token \d+", checks["api"]["message"])
    assert "Traceback" not in home.daemon_log()


def connect(where: Remote | Path) -> socket.socket:
    if isinstance(where, Path):
        made = socket.socket(socket.AF_UNIX)
        made.connect(str(where))
        return made
    return socket.create_connection(("127.0.0.1", where.port))


def test_through_ssh(remote: Remote, file: str, tmp_path: Path) -> None:
    home = remote.home
    given = {name: value for name, value in home.environ.items() if name.startswith("FOURFOLD_")}
    with sshd(tmp_path, given) as bin:
        there = {
            "PATH": f"{bin}:{home.environ['PATH']}",
            "FOURFOLD_HOME": str(tmp_path / "here"),
            "FOURFOLD_REMOTE": FOURFOLD,
        }

        def run(*arguments: str, code: int = 0, host: str = f"ssh://{ALIAS}", stdin: str = "") -> str:
            done = home.run(*arguments, code=code, stdin=stdin, **cast(Any, there | {"FOURFOLD_HOST": host}))
            return done.stdout + done.stderr

        home.run("daemon", "stop")
        assert "none runs there" in run("status", "-a", "app", code=1)
        assert "is up" in run("up", "-f", file)  # starts the daemon there
        assert home.get().status_code == 200
        by_path = f"ssh://{ALIAS}{home.socket}"
        assert run("exec", "-a", "app", "web", "cat", stdin="hello", host=by_path) == "hello"
        assert "open failed" in run("apps", host=f"ssh://{ALIAS}/nothing.sock", code=1)
        there["FOURFOLD_REMOTE"] = "/nowhere/fourfold"
        assert "say where (FOURFOLD_REMOTE=" in run("apps", code=1)
        there["FOURFOLD_REMOTE"] = FOURFOLD
        following = home.start("logs", "-f", "-a", "app", **there, FOURFOLD_HOST=f"ssh://{ALIAS}")
        assert following.stdout is not None
        assert "listening" in following.stdout.readline()
        tunnels = [each for each in psutil.Process(following.pid).children(recursive=True) if each.name() == "ssh"]
        assert len(tunnels) == 1, "one ssh for all requests of a command"
        tunnels[0].kill()
        assert "the connection to ssh://box is gone" in following.communicate(timeout=60)[0]
        following = home.start("logs", "-f", "-a", "app", **there, FOURFOLD_HOST=f"ssh://{ALIAS}")
        assert following.stdout is not None
        following.stdout.readline()
        tunnels = [each for each in psutil.Process(following.pid).children(recursive=True) if each.name() == "ssh"]
        following.kill()
        following.communicate()
        _, alive = psutil.wait_procs(tunnels, 60)
        assert not alive, "no ssh outlives its command, however that ends"
