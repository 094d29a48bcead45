"""Promise 6: bad input is refused whole, with exit code 2 and words that help, and nothing has changed."""

from __future__ import annotations

import os
import socket
import sqlite3
import threading

import pytest

from tests.e2e.home import Home, web_file
from tests.support.ports import free_port
from tests.support.wait import until


@pytest.fixture
def up(home: Home) -> Home:
    home.run("up", "-f", str(home.app(web_file(home.port, VERSION="one"))))
    return home


def refused(home: Home, text: str, *words: str, code: int = 2) -> None:
    """`up` with this file ends with `code` and says `words`; the app is as it was."""
    before = unchanging(home)
    file = home.root / "app" / "fourfold.yaml"
    file.write_text(text)
    done = home.run("up", "-f", str(file), code=code)
    said = done.stdout + done.stderr
    assert "Traceback" not in said
    for word in words:
        assert word in said, said
    assert unchanging(home) == before
    assert home.get().headers["x-version"] == "one"


def unchanging(home: Home) -> list[tuple[str, int, list[int]]]:
    return [(s["name"], s["release"], [i["pid"] for i in s["instances"]]) for s in home.status()["services"]]


def test_files(up: Home) -> None:
    good = web_file(up.port, VERSION="one")
    refused(up, good.replace("port: 8080", "prot: 8080"), ":7:5:", "services.web.prot", "port")
    refused(up, good.replace("instances: 1", "instances: {min: 3, max: 1}"), "services.web.instances")
    refused(up, good.replace("app: app", "app: app\n" + bomb()), "alias")
    refused(up, good.replace("env:", "secrets: [NOT_SET]\n    env:"), "NOT_SET", "fourfold secrets set NOT_SET")
    refused(up, good.replace("env:", "depends_on: [web]\n    env:"), "web -> web")
    twice = good.replace(
        "gateway:", "  two:\n    source: ./web\n    run: x\n    port: 1\n    route: {path: /}\ngateway:"
    )
    refused(up, twice, "services.two", "route")
    file = up.root / "app" / "fourfold.yaml"
    file.write_bytes(good.encode() + b"# caf\xe9\n")
    assert "UTF-8" in up.run("up", "-f", str(file), code=2).stderr


def test_counts(up: Home) -> None:
    before = unchanging(up)
    assert "cannot find service nothing" in up.run("scale", "-a", "app", "web=2", "nothing=2", code=2).stderr
    assert unchanging(up) == before


def bomb() -> str:
    """A few lines that would be billions of values."""
    lines = ["x-a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"x-a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    return "\n".join(lines)


def test_sources(up: Home) -> None:
    web = up.root / "app" / "web"
    (web / "leak").symlink_to("/etc/passwd")
    refused(up, web_file(up.port, VERSION="two"), "leak", "/etc/passwd")
    (web / "leak").unlink()
    with (web / "big").open("wb") as big:
        big.truncate(600 * 1024 * 1024)
    refused(up, web_file(up.port, VERSION="two"), "600 MiB", ".fourfoldignore")
    (web / "big").unlink()
    os.mkfifo(web / "pipe")
    refused(up, web_file(up.port, VERSION="two"), "pipe")
    (web / "pipe").unlink()
    refused(up, web_file(up.port, VERSION="two").replace("./web", "./nowhere"), "nowhere")


def test_the_gateways_port_is_taken(home: Home) -> None:
    with socket.create_server(("127.0.0.1", home.port)):
        file = home.app(web_file(home.port))
        done = home.run("up", "-f", str(file), code=2)
    assert str(home.port) in done.stderr and str(os.getpid()) in done.stderr
    home.run("up", "-f", str(file))
    assert home.get().status_code == 200


def test_the_gateway_must_keep_clear_of_services_ports(up: Home) -> None:
    low = up.environ["FOURFOLD_INTERNAL_PORTS"].partition("-")[0]
    refused(up, web_file(int(low), VERSION="two"), f"cannot listen on 127.0.0.1:{low}")


def test_another_app_has_the_fixed_port(home: Home) -> None:
    port = free_port()
    fixed = web_file(home.port, VERSION="one").replace("port: 8080", f"port: {{fixed: {port}}}")
    home.run("up", "-f", str(home.app(fixed)))
    assert home.instances()[0]["address"] == f"127.0.0.1:{port}"
    text = fixed.replace("app: app", "app: other").replace("path: /}", "path: /other}")
    done = home.run("up", "-f", str(home.app(text, "other")), code=2)
    assert str(port) in done.stderr and "app.web has it" in done.stderr
    assert "other" not in home.run("apps").stdout


def test_a_foreign_program_has_the_fixed_port(up: Home) -> None:
    """Its answers must not pass for the service's, and the service that served before serves on."""
    with socket.create_server(("127.0.0.1", 0)) as foreign:
        port = foreign.getsockname()[1]
        text = web_file(up.port, VERSION="two").replace("port: 8080", f"port: {{fixed: {port}}}")
        refused(up, text, str(port), str(os.getpid()))
    up.run("up", "-f", str(up.root / "app" / "fourfold.yaml"))
    assert up.get().headers["x-version"] == "two"


def test_another_app_has_the_route(up: Home) -> None:
    other = up.app(web_file(up.port).replace("app: app", "app: other"), "other")
    done = up.run("up", "-f", str(other), code=2)
    assert "app.web has it" in done.stderr
    assert "other" not in up.run("apps").stdout


def test_an_external_that_is_not_there(up: Home) -> None:
    """Refused by the world, not by us: exit code 1, and it names which and where."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"postgres://127.0.0.1:{taken.getsockname()[1]}/shop"
        text = web_file(up.port, extra="depends_on: [db]", VERSION="two").replace(
            "gateway:", f"externals:\n  db: {{url: '{url}', check: tcp, timeout: 1s}}\ngateway:"
        )
        refused(up, text, "external db", url, "1 s", code=1)
        taken.listen()
        up.run("up", "-f", str(up.root / "app" / "fourfold.yaml"))
    assert up.get().headers["x-version"] == "two"


def test_a_runtime_that_is_not_here(up: Home) -> None:
    refused(up, web_file(up.port, extra="runtime: python3.4"), "python3.4", "python3.")


def test_the_store_is_locked(up: Home) -> None:
    """By somebody else and for longer than we wait: the command fails with a clear word and has changed nothing."""
    database = sqlite3.connect(up.home / "state" / "fourfold.db", isolation_level=None)
    database.execute("BEGIN IMMEDIATE")
    before = unchanging(up)
    try:
        done = up.run("scale", "-a", "app", "web=2", code=1)
    finally:
        database.execute("ROLLBACK")
        database.close()
    said = done.stdout + done.stderr
    assert "locked" in said and "Traceback" not in said
    assert unchanging(up) == before and up.service()["desired"] == 1 and up.service()["overrides"] == {}
    assert up.get().headers["x-version"] == "one"
    up.run("scale", "-a", "app", "web=2")
    assert up.service()["ready"] == 2


def test_many_clients_at_once(up: Home) -> None:
    """Nothing is lost when several people change different things."""
    threads = [threading.Thread(target=up.run, args=("scale", "-a", "app", f"web={n}")) for n in (2, 3, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    until(lambda: up.service()["ready"] == up.service()["desired"], 60, "the service to be at rest")
