"""Starting, stopping, installing and asking for the daemon; doctor without it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from fourfold.cli.link import starter
from fourfold.cli.link.endpoint import connects
from fourfold.cli.options import Options
from fourfold.errors import ConflictError, WorldError
from fourfold.paths import Paths
from fourfold.serving import only_one
from tests.api.serving import Serving
from tests.cli.conftest import Cli

ANSWERS = """
import os, socket, sys
from fourfold.paths import Paths
paths = Paths.find(os.environ, 0)
paths.run.mkdir(parents=True)
print("told", flush=True)
with socket.socket(socket.AF_UNIX) as listener:
    listener.bind(str(paths.socket))
    listener.listen()
    for _ in range(int(sys.argv[1])):
        listener.accept()
"""
"""A daemon that does nothing but answer, so many times."""


def stand_in(monkeypatch: pytest.MonkeyPatch, *command: str) -> list[subprocess.Popen[bytes]]:
    """Start this instead of the daemon, with everything else as it is."""
    real = subprocess.Popen
    started: list[subprocess.Popen[bytes]] = []

    def popen(argv: list[str], **options: object) -> subprocess.Popen[bytes]:
        assert argv == [sys.executable, "-m", "fourfold.daemon"]
        started.append(real(command, **options))  # type: ignore[call-overload]
        return started[-1]

    monkeypatch.setattr("fourfold.cli.link.starter.subprocess.Popen", popen)
    return started


def test_it_is_started_and_waited_for(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = stand_in(monkeypatch, sys.executable, "-c", ANSWERS, "2")
    paths = Paths.find(os.environ, 0)
    starter.Starting(paths, Options(quiet=True)).wait()
    assert connects(paths.socket)
    assert started[0].wait(60) == 0
    assert paths.daemon_log.read_text() == "told\n"
    assert paths.daemon_log.stat().st_mode & 0o777 == 0o600


def test_its_home_may_be_relative_to_here(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    monkeypatch.setenv("FOURFOLD_HOME", "inner")
    stand_in(monkeypatch, sys.executable, "-c", ANSWERS, "2")
    starter.Starting(Paths.find(os.environ, 0), Options(quiet=True)).wait()
    assert connects(home / "inner/run/fourfold.sock")


def test_one_that_does_not_come_up_shows_its_last_lines(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = Paths.find(os.environ, 0)
    paths.state.mkdir(parents=True)
    paths.daemon_log.write_text("of an earlier day\n")
    stand_in(monkeypatch, "sh", "-c", "echo error: disk full; exit 3")
    with pytest.raises(WorldError) as caught:
        starter.Starting(paths, Options(quiet=True)).wait()
    assert caught.value.what == "cannot start the daemon: it ended with exit code 3\n  error: disk full"
    assert "doctor --offline" in str(caught.value.hint)


def test_one_that_refuses_its_settings(cli: Cli, home: Path) -> None:
    (home / "work/fourfold.yaml").write_text("app: shop\nservices: {a: {run: x}}\n")
    (home / "config").mkdir()
    (home / "config/fourfold.toml").write_text("builds = 0\n")
    result = cli("up")
    assert result.code == 2
    assert "cannot use settings" in result.err


def test_a_caller_with_another_run_folder_starts_no_second_one(home: Path) -> None:
    """Such as one of cron, without XDG_RUNTIME_DIR: the state is what there can be one daemon of."""
    paths = Paths.find(os.environ, 0)
    paths.state.mkdir(parents=True)
    elsewhere = replace(paths, run=home / "elsewhere")
    with only_one(paths), pytest.raises(ConflictError) as caught, only_one(elsewhere):
        pass
    assert f"(pid {os.getpid()}, at {paths.socket})" in str(caught.value)
    assert f"kill {os.getpid()}" in str(caught.value.hint) and "XDG_RUNTIME_DIR" in str(caught.value.hint)
    assert starter._has_holder(paths) and not starter._has_holder(elsewhere)  # nobody waits for that one


def test_another_command_has_started_one_at_the_same_time(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours ends because the lock is held; the one that holds it answers a little later."""
    paths = Paths.find(os.environ, 0)
    paths.state.mkdir(parents=True)
    paths.daemon_lock.write_text(f"{os.getpid()}\n{paths.socket}\n")
    stand_in(monkeypatch, "sh", "-c", "exit 2")
    looks = iter([False, False, False, True])
    monkeypatch.setattr(starter, "connects", lambda path: next(looks))
    starter.Starting(paths, Options(quiet=True)).wait()
    assert next(looks, None) is None


def test_up_starts_it_when_there_is_a_file(cli: Cli, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it comes up the file is read: a bad one is refused, whatever becomes of the daemon."""
    started = stand_in(monkeypatch, "false")
    assert (cli("up").code, len(started)) == (2, 0)
    (home / "work/fourfold.yaml").write_text("app: shop\nservices: {a: {source: ./gone, run: x, nope: 1}}\n")
    assert (cli("up").code, len(started)) == (2, 1)
    (home / "work/fourfold.yaml").write_text("app: shop\nservices: {a: {run: x}}\n")
    result = cli("up")
    assert (result.code, len(started)) == (1, 2)
    assert result.err.startswith("starting the daemon\nerror: cannot start the daemon: it ended with exit code 1\n")


def test_a_home_that_cannot_be_written(cli: Cli, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "work/fourfold.yaml").write_text("app: shop\nservices: {a: {run: x}}\n")
    (home / "file").write_text("")
    monkeypatch.setenv("FOURFOLD_HOME", str(home / "file"))
    result = cli("up")
    assert result.code == 2
    assert result.err.endswith("hint: set FOURFOLD_HOME to a folder that you can write to\n")


def test_daemon_status(cli: Cli, server: Serving, home: Path) -> None:
    result = cli("daemon", "status")
    assert result.out == (
        "version  0.1.0\n"
        "pid      811, of root, started 1 h ago\n"
        "home     /var/lib/fourfold\n"
        f"socket   {home}/run/fourfold.sock\n"
        "apps     shop\n"
    )


def test_daemon_status_of_none(cli: Cli) -> None:
    assert cli("daemon", "status").code == 1


def test_daemon_stop_waits_for_its_end(cli: Cli, server: Serving) -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        server.facade.pid, server.facade.ended = process.pid, process.stdin.close
        result = cli("daemon", "stop")
        assert result.code == 0, result.err
        assert process.poll() == 0
    assert result.err.startswith("the daemon has ended; services keep running")


def test_daemon_restart(cli: Cli, server: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of systemd's is started again by that: to start a second one would only be in its way."""
    waited: list[str] = []
    monkeypatch.setattr("fourfold.cli.link.starter.await_other", lambda paths: waited.append("for systemd"))
    for groups, expected in (("0::/system.slice/fourfold.service/leaf\n", ["for systemd"]), ("0::/user.slice\n", [])):
        monkeypatch.setattr("fourfold.cli.commands.daemon._end", lambda session, groups=groups: groups)
        waited.clear()
        result = cli("daemon", "restart")
        assert (result.code, waited) == (0, expected)
        assert result.err == "the daemon is version 0.1.0 (pid 811); services kept running\n"


def test_daemon_install(cli: Cli, home: Path) -> None:
    result = cli("daemon", "install", "--into", str(home / "units"))
    assert (result.code, result.out) == (0, f"{home}/units/fourfold.service\n")
    assert result.err.startswith("next:\n  systemctl ")
    text = (home / "units/fourfold.service").read_text()
    assert "Type=notify\n" in text
    assert f"ExecStart={sys.executable} -m fourfold.daemon\nEnvironment=FOURFOLD_HOME={home}\n" in text
    assert cli("daemon", "install", "--print").out == text


def test_daemon_in_the_foreground(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, list[str]]] = []
    monkeypatch.setattr("os.execv", lambda path, argv: asked.append((path, argv)))
    cli("daemon")
    assert asked == [(sys.executable, [sys.executable, "-m", "fourfold.daemon"])]


def test_doctor_offline(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(output: str, error: str = "") -> None:
        done = subprocess.CompletedProcess([], 0, output, error)
        monkeypatch.setattr("fourfold.cli.commands.doctor.subprocess.run", lambda *_, **__: done)

    answer('{"name": "haproxy", "state": "warning", "message": "is old", "hint": null}\n')
    result = cli("doctor", "--offline")
    assert (result.code, result.out) == (0, "CHECK    STATE    FOUND\nhaproxy  warning  is old\n")
    answer("", "Traceback\nImportError: no\n")
    result = cli("doctor", "--offline")
    assert (result.code, result.out) == (1, "")
    assert "  ImportError: no\n" in result.err


def test_daemon_install_with_a_daemon_that_runs(
    cli: Cli, server: Serving, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOURFOLD_HOME", "..")
    result = cli("daemon", "install", "--into", str(home / "units"))
    assert result.err.startswith("next:\n  fourfold daemon stop   # services keep running\n  systemctl ")
    assert f"Environment=FOURFOLD_HOME={home}\n" in (home / "units/fourfold.service").read_text().replace(
        "/work/..", ""
    )


def test_what_clients_of_lambdas_api_need(cli: Cli, home: Path, server: Serving) -> None:
    result = cli("daemon", "env")
    assert result.code == 2
    assert "its listener is off" in result.err
    server.facade.lambda_api = "http://127.0.0.1:9001"
    (home / "lambda-keys.json").write_text('{"aws_access_key_id": "AKIA", "aws_secret_access_key": "a b"}')
    assert cli("daemon", "env").out.splitlines() == [
        "export AWS_ENDPOINT_URL_LAMBDA=http://127.0.0.1:9001",
        "export AWS_ACCESS_KEY_ID=AKIA",
        "export AWS_SECRET_ACCESS_KEY='a b'",
        "export AWS_REGION=us-east-1",  # of the SDK for JavaScript, which does not know the other
        "export AWS_DEFAULT_REGION=us-east-1",
    ]
    assert "lambda   http://127.0.0.1:9001, keys in" in cli("daemon", "status").out
    (home / "lambda-keys.json").unlink()
    assert cli("daemon", "env").code == 1
