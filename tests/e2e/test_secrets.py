"""Promise 8: a secret reaches the program that may have it, and nothing else."""

from __future__ import annotations

from contextlib import suppress

import httpx
import psutil
import pytest

from tests.e2e.home import Home, web_file

pytestmark = pytest.mark.patterns("process", "container", "vm")  # functions get no secret files
VALUE = "correct-horse-battery-staple"


def secretive(home: Home) -> str:
    use = "secrets: [API_KEY, {TLS_KEY: {name: API_KEY, file: /run/secrets/key.pem}}]"
    return web_file(home.port, extra=use)


def test_only_the_instance_has_it(home: Home) -> None:
    file = home.app(secretive(home))
    home.run("secrets", "set", "API_KEY", "-a", "app", stdin=VALUE)
    home.run("up", "-f", str(file))
    environ = home.get("/env").json()
    assert environ["API_KEY"] == VALUE and environ["TLS_KEY"] == "/run/secrets/key.pem"
    look = ("/usr/bin/python3", "-c", LOOK, "/run/secrets/key.pem")
    assert home.run("exec", "-a", "app", "web", "--", *look).stdout == f"{VALUE} 600 True\n"
    said = "".join(
        home.run(*command).stdout
        for command in (
            ("status", "-a", "app", "-o", "json"),
            ("events", "-a", "app", "-o", "json"),
            ("plan", "-f", str(file), "-o", "json"),
            ("explain", "-a", "app", "web", "-o", "json"),
            ("secrets", "list", "-a", "app", "-o", "json"),
            ("history", "-a", "app", "-o", "json"),
        )
    )
    assert "API_KEY" in said and VALUE not in said
    assert not [line for line in command_lines() if VALUE in line]
    assert home.holding(VALUE.encode()) == []


LOOK = """
import os, sys
about = os.stat(sys.argv[1])
print(open(sys.argv[1]).read(), f"{about.st_mode & 0o777:o}", about.st_uid == os.getuid())
"""


def command_lines() -> list[str]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):  # it has ended
            found.append(" ".join(process.cmdline()))
    return found


def test_a_new_value_is_deployed_by_the_next_up(home: Home) -> None:
    file = home.app(secretive(home))
    home.run("secrets", "set", "API_KEY", "-a", "app", stdin="old")
    home.run("up", "-f", str(file))
    home.run("secrets", "set", "API_KEY", "-a", "app", stdin="new")
    assert "secrets changed" in home.run("plan", "-f", str(file)).stdout
    home.run("up", "-f", str(file))
    assert home.get("/env").json()["API_KEY"] == "new"
    assert home.service()["release"] == 1, "a release has the names of secrets, not their values"


def test_the_socket_is_its_owners(home: Home) -> None:
    home.run("up", "-f", str(home.app(web_file(home.port))))
    assert home.socket.stat().st_mode & 0o777 == 0o600
    assert isinstance(home.api(), httpx.Client)
