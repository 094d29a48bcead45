"""What stands at the door of an app: who stays where over a deploy, who is let in, a page instead, new certificates."""

from __future__ import annotations

import re
import ssl
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import httpx

from tests.e2e.home import Home
from tests.gateway.pem import pair
from tests.support.wait import until

FILE = """
app: app
services:
  web:
    source: ./web
    run: exec /usr/bin/python3 web.py
    port: 8080
    instances: 2
    route:
      - {{path: /, sticky: true}}
      - {{path: /few, strip: true, limits: {{rate: 2/h, body: 1KB}}}}
      - {{path: /staff, strip: true, auth: STAFF}}
    health: {{path: /healthz, interval: 1s}}
    stop: {{drain: 20s, grace: 5s}}
    env: {{VERSION: {version}}}
gateway: {{listen: LISTEN, tls: {{cert: c.pem, key: k.pem}}, hsts: 1h}}
"""


def lay(home: Home, made: tuple[bytes, bytes]) -> None:
    """As renewals do: a new file in place of the old one, the certificate first."""
    for name, content in zip(("c.pem", "k.pem"), made, strict=True):
        (home.root / "app" / "new").write_bytes(content)
        (home.root / "app" / "new").replace(home.root / "app" / name)


def client(home: Home) -> httpx.Client:
    return httpx.Client(base_url=f"https://127.0.0.1:{home.port}", verify=False, timeout=15)


def served(home: Home) -> bytes:
    """The certificate that a new connection is shown."""
    return ssl.get_server_certificate(("127.0.0.1", home.port)).encode()


class Asking:
    """curl, which asks over HTTP/2 on one connection as long as it is not told to close it."""

    def __init__(self, home: Home) -> None:
        self._answers = home.root / "answers"
        self._answers.touch()

    @contextmanager
    def running(self, home: Home) -> Iterator[None]:
        url = f"https://127.0.0.1:{home.port}/?n=[1-100000]"
        told = ("-o", "/dev/null", "-w", "%{http_code} %{http_version} %{exitcode}\\n")
        with self._answers.open("w") as answers:
            curl = subprocess.Popen(["curl", "-sk", "--http2", "--rate", "100/s", *told, url], stdout=answers)
        try:
            yield
        finally:
            curl.terminate()
            curl.wait()

    def counted(self) -> Counter[str]:
        return Counter(self._answers.read_text().splitlines())

    def flow(self) -> None:
        goal = self.counted().total() + 50
        until(lambda: self.counted().total() >= goal, 60, "requests to be answered")


def test_at_the_door(home: Home) -> None:
    path = home.app(FILE.format(version="one"))
    first, second = pair(), pair()
    lay(home, first)
    refused = home.run("up", "-f", str(path), code=2)
    assert "fourfold secrets set STAFF" in refused.stderr
    home.run("secrets", "set", "STAFF", "-a", "app", stdin="ann:right\n")
    home.run("up", "-f", str(path))
    with client(home) as visitor, client(home) as stranger:
        answer = visitor.get("/")
        assert answer.headers["strict-transport-security"] == "max-age=3600"
        assert re.fullmatch(r"[0-9a-f-]{36}", answer.headers["x-request-id"])
        assert "Secure" in answer.headers["set-cookie"]
        here = visitor.get("/pid").text
        assert {visitor.get("/pid").text for _ in range(6)} == {here}
        assert [stranger.get("/few").status_code for _ in range(3)] == [200, 200, 429]
        assert stranger.post("/few", content=b"x" * 2000).status_code == 429
        assert stranger.get("/staff").status_code == 401
        assert stranger.get("/staff", auth=("ann", "right")).status_code == 200
        home.run("secrets", "set", "STAFF", "-a", "app", stdin="ann:other\n")
        until(lambda: stranger.get("/staff", auth=("ann", "other")).status_code == 200, 60, "the new password")
        assert stranger.get("/staff", auth=("ann", "right")).status_code == 401
        home.run("secrets", "rm", "STAFF", "-a", "app", code=2)

        # A deploy takes the instance of a visitor away: no request is lost, and the visitor stays with another one.
        asking = Asking(home)
        with asking.running(home):
            asking.flow()
            home.app(FILE.format(version="two"))
            home.run("up", "-f", str(path))
            moved = visitor.get("/pid").text
            assert moved != here
            assert {visitor.get("/pid").text for _ in range(6)} == {moved}

            # A renewed certificate is served without an `up`.
            lay(home, second)
            until(lambda: served(home) == second[0], 60, "the renewed certificate")
            third = pair()
            lay(home, third)
            home.run("certificate", "renew", "-f", str(path))
            assert served(home) == third[0]
            asking.flow()
        assert asking.counted().keys() == {"200 2 0"}

    # Each visitor comes anew here: one that stays connected may bring a last request by the rules before.
    with client(home) as visitor:
        home.run("maintenance", "on", "-a", "app", "--retry-after", "5m")
        answer = visitor.get("/")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "300")
        assert "is in maintenance" in home.run("status", "-a", "app").stdout
        home.run("up", "-f", str(path))
        home.run("daemon", "stop")
        home.run("up", "-f", str(path))
        assert visitor.get("/").status_code == 503
        home.run("maintenance", "off", "-a", "app")
    with client(home) as visitor:
        assert visitor.get("/").status_code == 200
    kinds = [event["kind"] for event in home.events()]
    assert (kinds.count("gateway.maintenance"), kinds.count("gateway.certificate") >= 2) == (2, True)


ONE = """
app: app
services:
  web: {{source: ./web, build: {build}, run: exec /usr/bin/python3 web.py, port: 8080, route: {{path: /}}}}
gateway: {{listen: LISTEN, tls: {{cert: c.pem, key: k.pem}}}}
"""


def test_an_up_brings_its_certificate_when_it_is_built_and_no_ended_one_for_a_valid_one(home: Home) -> None:
    path = home.app(ONE.format(build="echo"))
    now, day = datetime.now(UTC), timedelta(days=1)
    first, older, ended = pair(), pair(begins=now - 3 * day), pair(begins=now - 3 * day, ends=now - day)
    lay(home, ended)
    assert "warning: browsers refuse the certificate of gateway.tls: it has ended on" in home.run(
        "up", "-f", str(path)
    ).stderr  # fmt: skip
    lay(home, first)
    home.run("up", "-f", str(path))
    lay(home, older)  # which nobody takes for a renewed one
    home.app(ONE.format(build="exit 3"))
    home.run("up", "-f", str(path), code=1)
    assert served(home) == first[0]
    home.app(ONE.format(build="echo"))
    home.run("up", "-f", str(path))
    assert served(home) == older[0]
    lay(home, ended)
    refused = home.run("up", "-f", str(path), code=2)
    assert "it has ended on" in refused.stderr and served(home) == older[0]
