"""Doctor without a daemon: what would keep one from starting."""

from __future__ import annotations

import fcntl
import os
import resource
import socket
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from fourfold.clock import SystemClock
from fourfold.control.reporting import doctor
from fourfold.control.views import CheckView
from fourfold.gateway.certificates import combine
from fourfold.launch.model import Powers
from fourfold.launch.names import HostNames
from fourfold.paths import Paths
from fourfold.store import layout
from fourfold.store.db import open_database
from fourfold.store.secrets import Secrets
from fourfold.store.tables.apps import Apps
from tests.gateway.pem import pair
from tests.store.samples import app_row


@pytest.fixture
def paths() -> Iterator[Paths]:
    with TemporaryDirectory(prefix="ff-") as folder:
        yield Paths.find({"FOURFOLD_HOME": folder}, os.geteuid())


def check(paths: Paths, name: str) -> CheckView:
    powers = Powers(users=True, private=True, cpu=True, memory=True, pids=True, io=True, missing={})
    return next(each for each in doctor.examine(paths, powers) if each.name == name)


def test_nothing_is_there_yet(paths: Paths) -> None:
    for name in ("settings", "folders", "daemon", "store", "secrets"):
        assert check(paths, name).state == "ok", name
    assert not paths.state.exists()


def test_bad_settings(paths: Paths) -> None:
    paths.config.mkdir()
    paths.settings.write_text("builds = 0\n")
    found = check(paths, "settings")
    assert found.state == "failed"
    assert "builds" in found.message


def test_few_files(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    for most, state in ((64, "failed"), (1024, "ok"), (resource.RLIM_INFINITY, "ok")):
        monkeypatch.setattr(resource, "getrlimit", lambda _, most=most: (64, most))
        assert check(paths, "files").state == state
    monkeypatch.setattr(resource, "getrlimit", lambda _: (64, 64))
    assert "may have 64 open only" in check(paths, "files").message


def test_folders(paths: Paths) -> None:
    paths.run.write_text("")
    assert check(paths, "folders").message == f"{paths.run} is not a folder"
    inside = Paths.find({"FOURFOLD_HOME": str(paths.run)}, os.geteuid())
    assert check(inside, "folders").message == f"{paths.run} is not a folder"
    long = Paths.find({"FOURFOLD_HOME": "/tmp/" + "x" * 100}, os.geteuid())
    assert "longer than the 107 bytes" in check(long, "folders").message


def test_resolvers_that_containers_do_not_reach(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "read_host_names", lambda: HostNames(resolv_conf="nameserver 127.0.0.53"))
    (found,) = doctor._names(Powers(network=True))
    assert found.state == "warning" and "cannot resolve names" in found.message
    assert not list(doctor._names(Powers()))
    monkeypatch.setattr(doctor, "read_host_names", lambda: HostNames(resolv_conf="nameserver 192.0.2.1"))
    assert not list(doctor._names(Powers(network=True)))


def test_what_is_to_be_installed_is_said_once() -> None:
    why = "cannot make a network: nft is not installed: apt-get install nftables"
    found = {each.name: each for each in doctor._powers(Powers(missing={"network": why}))}["network"]
    assert (
        found.message == f"not here: containers, virtual machines and sandboxes have networks of their own ({why})"
        and found.hint is None
    )


def test_machines_without_a_network_of_their_own_are_none() -> None:
    powers = Powers(machines=True, missing={"network": "cannot make a network: only root can make networks"})
    found = {each.name: each for each in doctor._powers(powers)}["machines"]
    assert found.state == "warning" and "only root can make networks" in found.message


def test_machines_of_an_ordinary_user_reach_little() -> None:
    found = {each.name: each for each in doctor._powers(Powers(machines=True, forwarded=True))}["machines"]
    assert found.state == "ok" and "reaches services of its app and nothing else" in found.message


def test_volumes_of_machines_may_have_no_locks() -> None:
    for locks in (True, False):
        found = {each.name: each for each in doctor._powers(Powers(shares=True, locks=locks))}["shares"]
        assert found.state == "ok" and ("within one machine only" in found.message) is not locks


def test_what_machines_are_made_with(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not list(doctor._disks(Powers()))
    with monkeypatch.context() as patch:
        patch.setattr("fourfold.build.disk.bzimage._PROGRAMS", {b"": "nosuch-compressor"})
        (found,) = doctor._disks(Powers(machines=True))
    assert (found.state, found.hint) == ("warning", "apt-get install nosuch-compressor")
    monkeypatch.setattr("fourfold.build.disk.erofs.MKFS", "/nonexistent")
    (found,) = doctor._disks(Powers(machines=True))
    assert (found.state, found.hint) == ("warning", "apt-get install erofs-utils")


def test_what_containers_are_made_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not list(doctor._images(Powers()))
    (found,) = doctor._images(Powers(containers=True))
    assert (found.state, found.hint) == ("warning", "apt-get install mmdebstrap skopeo")
    for program in ("mmdebstrap", "skopeo"):
        assert f"{program} is not installed" in found.message
        (tmp_path / program).touch(0o755)
    assert [each.state for each in doctor._images(Powers(containers=True))] == ["ok"]


def test_a_lock_that_is_held(paths: Paths) -> None:
    paths.run.mkdir()
    paths.state.mkdir()
    with paths.daemon_lock.open("w") as lock:
        lock.write("123")
        lock.flush()
        assert check(paths, "daemon").message == "none runs here"
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = check(paths, "daemon")
        assert (found.state, found.hint) == ("failed", f"see {paths.daemon_log}; end it: kill 123")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(paths.socket))
            listener.listen()
            assert check(paths, "daemon").message == "runs, pid 123"


def test_a_store_that_was_removed_under_the_daemon(paths: Paths) -> None:
    """It is said how to have it again, which works."""
    layout.create(paths, root=False)
    assert check(paths, "store").message.startswith("not made yet")
    paths.daemon_lock.write_text(f"{os.getpid()}\n{paths.socket}\n")
    with open_database(paths.database) as database:
        Secrets(database, paths.secrets_key, SystemClock()).set_many("a", {"B": "c"})
        for file in paths.state.glob("fourfold.db*"):
            file.unlink()
        found = check(paths, "store")
        assert found.state == "failed" and found.message.startswith(f"{paths.database} was removed under the daemon")
        commands, _, then = str(found.hint).partition("; then: ")
        assert then == "fourfold daemon restart"
        subprocess.run(["sh", "-c", commands], check=True)
    with open_database(paths.database) as database:
        assert Secrets(database, paths.secrets_key, SystemClock()).resolve("a", ["B"]) == {"B": "c"}


def test_the_key_of_secrets(paths: Paths) -> None:
    layout.create(paths, root=False)
    with open_database(paths.database) as database:
        Secrets(database, paths.secrets_key, SystemClock()).set_many("a", {"B": "c"})
    assert check(paths, "secrets").state == "ok"
    paths.secrets_key.chmod(0o644)
    assert "others can read it" in check(paths, "secrets").message
    paths.secrets_key.unlink()
    assert "is missing" in check(paths, "secrets").message


@pytest.mark.parametrize(
    ("says", "state", "told"),
    [
        ("HAProxy version 2.6.12-1 2026/10/17", "ok", "HAProxy 2.6.12: {program}"),
        ("HAProxy version 2.4.3", "failed", "HAProxy 2.4.3 is too old"),
    ],
)
def test_the_gateways_program(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str, state: str, told: str
) -> None:
    haproxy = tmp_path / "haproxy"
    haproxy.write_text(f"#!/bin/sh\necho '{says}'\n")
    haproxy.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = check(paths, "gateway")
    assert found.state == state and told.format(program=haproxy) in found.message


def test_the_gateways_program_is_found_where_users_have_no_path_to(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert check(paths, "gateway").state == "ok"


def test_which_runtimes_there_are() -> None:
    powers = Powers(containers=True, runtimes=("runc", "crun"))
    found = {each.name: each for each in doctor._powers(powers)}["containers"]
    assert (found.state, found.message) == ("ok", "services can run as containers, under runc, crun")
    why = "/usr/bin/tini-static is missing: apt-get install tini"
    found = {each.name: each for each in doctor._powers(Powers(missing={"containers": why}))}["containers"]
    assert found.message == f"not here: services can run as containers ({why})" and found.hint is None


def test_certificates(paths: Paths) -> None:
    layout.create(paths, root=False)
    with open_database(paths.database) as database:
        for name, days in {"fresh": 30, "soon": 5, "over": -1}.items():
            Apps(database).put(app_row(name, gateway={"listen": ":443", "tls": {"cert": "c", "key": "k"}}))
            ends = datetime.now(UTC) + timedelta(days=days, hours=1)
            (paths.certificates / f"{name}.pem").write_bytes(
                combine(*pair(begins=ends - timedelta(days=60), ends=ends))
            )
        Apps(database).put(app_row("plain"))
    (paths.certificates / "gone.pem").write_text("of an app that is down")
    found = [each for each in doctor.examine(paths, Powers()) if each.name == "certificates"]
    assert [(each.state, each.message.partition(",")[0]) for each in found] == [
        ("ok", "that of fresh ends in 30 days"),
        ("failed", f"that of over has ended on {found[1].message.split()[6]} browsers refuse it"),
        ("warning", "that of soon ends in 5 days"),
    ]
