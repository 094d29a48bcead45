"""A backup is made under load, and an empty home is made of it: everything comes up again by itself."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path

import pytest

from tests.e2e.home import Home, web_file
from tests.e2e.traffic import Traffic
from tests.support.wait import until

PASSPHRASE = "correct horse battery"
BUILT = """
  built:
    source: ./web
    build: sleep 1 && echo built >made
    run: test -s made && exec /usr/bin/python3 web.py
    pattern: process
    port: 8080
    secrets: [TOKEN]
    volumes: [{name: data, path: /data}]
    route: {path: /built, strip: true}
    health: {path: /healthz, interval: 1s}
"""
"""Beside the service of the pattern: what takes a build, a secret and a volume."""


@pytest.mark.patterns("process", "shared", "container", "function", "vm")
def test_restored_on_an_empty_home(home: Home, pattern: str, tmp_path: Path) -> None:
    text = web_file(home.port, instances=2, VERSION="one").replace("\ngateway:", BUILT + "gateway:")
    file = home.app(text)
    home.run("secrets", "set", "-a", "app", "TOKEN", stdin="t0ken")
    home.run("up", "-f", str(file), patience=600)
    (home.state / "volumes/app/built/data/kept").write_text("kept\n")
    backup = tmp_path / "backup.tar"
    with Traffic(home.port) as traffic:
        traffic.flow()
        home.run("backup", str(backup), "--volumes", FOURFOLD_PASSPHRASE=PASSPHRASE)
        traffic.flow()
    traffic.unharmed()
    assert backup.stat().st_mode & 0o777 == 0o600 and b"t0ken" not in backup.read_bytes()
    assert any(event["kind"] == "backup.made" for event in all_events(home))
    home.close()

    other = Home(pattern=pattern)
    try:
        other.environ["FOURFOLD_BRIDGE"] = home.environ["FOURFOLD_BRIDGE"]
        refused = other.run("restore", str(backup), code=2).stderr
        assert "sealed, and there is nobody to ask; nothing was changed" in refused
        (tmp_path / "cut.tar").write_bytes(backup.read_bytes()[:-4096])
        assert (
            "nothing was changed"
            in other.run("restore", str(tmp_path / "cut.tar"), code=2, FOURFOLD_PASSPHRASE=PASSPHRASE).stderr
        )
        told = json.loads(
            other.run("restore", str(backup), "--no-start", "-o", "json", FOURFOLD_PASSPHRASE=PASSPHRASE).stdout
        )
        assert told["apps"] == ["app"] and told["volumes"] == 1
        daemon = other.start_daemon()
        until(lambda: restoring(other, "build.started"), 60, "it to build again")
        daemon.send_signal(signal.SIGKILL)  # the next one goes on with it
        daemon.wait()
        other.start_daemon()
        until(lambda: restoring(other, "operation.done") and all_ready(other), 600, "all to be up again")
        other.port = home.port
        until(lambda: other.get().headers["x-version"] == "one", 60, "the gateway to know the first")
        until(lambda: other.get("/built/").status_code == 200, 60, "the gateway to know the second")
        environ = Path(f"/proc/{other.instances('built')[0]['pid']}/environ").read_bytes()
        assert b"TOKEN=t0ken" in environ.split(b"\0")
        assert (other.state / "volumes/app/built/data/kept").read_text() == "kept\n"
        other.run("plan", "-f", str(other.app(text)), "--detailed-exitcode")  # nothing is left to do
    finally:
        other.close()


@pytest.mark.full
def test_over_what_runs(home: Home, tmp_path: Path) -> None:
    """That is ended, moved aside, and comes back as it was in the backup."""
    home.run("secrets", "set", "-a", "app", "TOKEN", stdin="t0ken")
    file = home.app(web_file(home.port, instances=2).replace("\ngateway:", BUILT + "gateway:"))
    home.run("up", "-f", str(file))
    backup = tmp_path / "backup.tar"
    (home.state / "volumes/app/built/data/kept").write_text("kept\n")
    home.run("backup", str(backup), "--volumes", FOURFOLD_PASSPHRASE=PASSPHRASE)
    volume = home.state / "volumes/app/built/data"
    (volume / "kept").write_text("changed\n")
    assert "while a daemon runs here" in home.run("restore", str(backup), code=2).stderr
    home.kill_daemon()
    assert "has apps already (app)" in home.run("restore", str(backup), code=2, FOURFOLD_PASSPHRASE=PASSPHRASE).stderr
    before = {process.pid for process in home.of_instances()}
    assert before, "what ran goes on until the backup has been read"
    assert "breaks off" in home.run("restore", "-", "--force", code=2, FOURFOLD_PASSPHRASE=PASSPHRASE).stderr
    assert before == {process.pid for process in home.of_instances()}
    said = home.run("restore", str(backup), "--force", FOURFOLD_PASSPHRASE=PASSPHRASE).stderr
    assert "all services are up" in said
    assert (volume / "kept").read_text() == "kept\n"
    (aside,) = home.state.glob("replaced-*")
    assert (aside / "volumes/app/built/data/kept").read_text() == "changed\n"
    assert not before & {process.pid for process in home.of_instances()}
    shutil.rmtree(aside)


def all_events(home: Home) -> list[dict[str, str]]:
    with home.api() as api:
        events: list[dict[str, str]] = api.get("/v1/events").raise_for_status().json()
        return events


def restoring(home: Home, kind: str) -> bool:
    return any(event["kind"] == kind and event["actor"] == "restore" for event in home.events())


def all_ready(home: Home) -> bool:
    services = home.status()["services"]
    return all(service["ready"] == service["desired"] > 0 for service in services)
