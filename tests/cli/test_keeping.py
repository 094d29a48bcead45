"""`backup` and `restore` as commands: what is asked, what is written, what is left when it goes wrong."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from fourfold.control import views as v
from fourfold.errors import WorldError
from tests.api import sample
from tests.api.serving import Serving
from tests.cli.conftest import Cli


def test_complete_or_not_there(cli: Cli, server: Serving, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOURFOLD_PASSPHRASE", "correct horse battery")
    file = home / "work" / "shop.tar"
    result = cli("backup", "shop.tar", "--volumes")
    assert (result.code, result.out) == (0, "shop.tar  15 B\n"), result.err
    assert file.read_bytes() == b"fourfold-backup" and file.stat().st_mode & 0o777 == 0o600
    asked: Any = next(call[1][0] for call in server.facade.calls if call[0] == "backup")
    assert (asked.volumes, asked.artifacts, asked.keys, asked.passphrase) == (
        True, False, "sealed", "correct horse battery",
    )  # fmt: skip
    server.facade.backed_up = [b"half", WorldError("cannot make the backup: the disk failed")]
    result = cli("backup", "other.tar")
    assert result.code == 1 and "the daemon went away while it answered" in result.err
    server.facade.backed_up = [b"half", WorldError("cannot make the backup: the disk failed")]
    assert cli("backup", "shop.tar").code == 1
    assert file.read_bytes() == b"fourfold-backup", "the older one stays"
    assert [path.name for path in file.parent.iterdir()] == ["shop.tar"]


def test_what_is_refused_beforehand(cli: Cli, server: Serving, home: Path) -> None:
    (home / "work/empty").touch()
    for arguments, why in {
        ("x.tar",): "no passphrase is given, and this is not a terminal",
        ("x.tar", "--with-keys", "--without-keys"): "exclude each other",
        ("x.tar", "--passphrase-file", "nowhere"): "cannot read the passphrase in nowhere",
        ("x.tar", "--passphrase-file", "empty"): "its first line is empty",
        ("nowhere/x.tar", "--with-keys"): "cannot write a backup to nowhere/x.tar",
        (".", "--with-keys"): "cannot write a backup to .",
    }.items():
        result = cli("backup", *arguments)
        assert result.code == 2 and why in result.err, result.err
    assert not [call for call in server.facade.calls if call[0] == "backup"]


def test_keys_as_they_are_wanted(cli: Cli, server: Serving, home: Path) -> None:
    (home / "work/phrase").write_text("correct horse\nanother line\n")
    assert "in the clear" in cli("backup", "-", "--with-keys").err
    result = cli("backup", "x.tar", "--without-keys", "-o", "json")
    assert json.loads(result.out) == {"file": f"{home}/work/x.tar", "bytes": 15, "keys": "none"}
    assert cli("backup", "-", "--passphrase-file", "phrase").out == "fourfold-backup"
    asked: list[Any] = [call[1][0] for call in server.facade.calls if call[0] == "backup"]
    assert [(each.keys, each.passphrase) for each in asked] == [
        ("plain", ""), ("none", ""), ("sealed", "correct horse"),
    ]  # fmt: skip


def test_restore_is_refused_while_a_daemon_runs(cli: Cli, server: Serving) -> None:
    result = cli("restore", "x.tar")
    assert result.code == 2 and "while a daemon runs here" in result.err and "fourfold daemon stop" in result.err


def test_restore_says_what_came_of_it(
    cli: Cli, home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    told = {"apps": ["shop"], "made_at": "2026-11-22T08:00:00Z", "host": "old", "version": "0.1.0", "volumes": 0,
            "last_event": 0, "replaced": f"{home}/state/replaced-x", "notes": ["mind the gap"]}  # fmt: skip
    given: list[tuple[list[str], str]] = []

    def run(argv: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        given.append((argv[3:], options["env"].get("FOURFOLD_PASSPHRASE", "")))
        return subprocess.CompletedProcess(argv, 0, json.dumps(told))

    monkeypatch.setattr("fourfold.cli.commands.restore.subprocess.run", run)
    (home / "work/phrase").write_text("correct horse\n")
    result = cli("restore", "x.tar", "--no-start", "--force", "--passphrase-file", "phrase")
    assert given == [(["--restore", f"{home}/work/x.tar", "--force"], "correct horse")]
    assert (result.code, result.out) == (0, "")
    assert result.err == (
        f"note: mind the gap\nnote: what was here is in {home}/state/replaced-x\n"
        "restored shop, as on old at 2026-11-22T08:00:00Z\n"
    )
    monkeypatch.setattr("fourfold.cli.units.is_enabled", lambda paths: True)
    assert cli("restore", "-").err.endswith("next: systemctl start fourfold\n")
    assert given[-1] == (["--restore", "-"], "")


def test_restore_waits_until_all_is_up(server: Serving, capsys: pytest.CaptureFixture[str]) -> None:
    from fourfold.cli.link import endpoint
    from fourfold.cli.link.client import Client
    from fourfold.cli.options import Options
    from fourfold.cli.restoring import await_services
    from fourfold.cli.session import Session

    done = sample.event(5, "operation.done", "restore of shop done", actor="restore")
    failed = sample.event(4, "build.failed", "cannot build web: no such package", service="web")
    unready = sample.service("web", ready=0)
    server.facade.happened = [sample.event(3, "build.started", "building"), failed, done]
    server.facade.state = sample.status(
        sample.service("catalog"), unready, sample.service("old", stopped=True, ready=0)
    )
    client = Client(endpoint.local(server.socket))
    assert await_services(Session(Options(quiet=True)), client, ["shop"], 0) == ["shop.web"]
    server.facade.state = sample.status(sample.service("catalog"))
    assert await_services(Session(Options(quiet=True)), client, ["shop"], 0) == []
    server.facade.happened = [done]
    never_ran = v.DeploymentView(state="failed", reason="was not ready within 30 s")
    server.facade.state = sample.status(sample.service("web", ready=0, instances=[], deployment=never_ran))
    assert await_services(Session(Options(quiet=True)), client, ["shop"], 0) == ["shop.web"]
    server.facade.state = sample.status(sample.service("catalog"), sample.service("worker", routes=[]))
    server.facade.state.gateway_problem = "cannot listen on 127.0.0.1:8080"
    capsys.readouterr()
    assert await_services(Session(Options()), client, ["shop"], 0) == ["shop.catalog"]
    told = capsys.readouterr().err
    assert "the gateway does not serve shop: cannot listen on 127.0.0.1:8080" in told and "are up" not in told
