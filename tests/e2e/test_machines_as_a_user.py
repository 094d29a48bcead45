"""Virtual machines of a daemon that is an ordinary user's: they have no bridge, and only what is forwarded passes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.e2e.home import UNKIND, Home, web_file
from tests.e2e.test_containers import CONNECT
from tests.e2e.test_machines import PYTHON, inside
from tests.e2e.traffic import Traffic
from tests.support.nobody import as_nobody
from tests.support.ports import free_port
from tests.support.wait import until

pytestmark = [as_nobody, pytest.mark.timeout(900)]
ASK = "import os, urllib.request; print(urllib.request.urlopen({}, timeout=30).read().decode(), end='')"
OTHER = """\
  other:
    source: ./web
    run: exec /usr/bin/python3 web.py
    port: 9000
    pattern: process
    env: {VERSION: other}
"""
"""A process that machines call."""


@pytest.fixture(scope="module")
def served() -> Iterator[Home]:
    """From the packages on, for root's base is root's."""
    home = Home(nobody=True, pattern="vm")
    try:
        text = web_file(home.port, VERSION="one", **UNKIND).replace("gateway:", f"{OTHER}gateway:")
        told = home.run("up", "-f", str(home.app(text)), patience=900).stderr
        assert "web: warning: its virtual machine reaches services of its app and nothing else" in told
        yield home
    finally:
        home.close()


def test_what_it_is(served: Home) -> None:
    (instance,) = served.instances()
    status = Path(f"/proc/{instance['pid']}/status").read_text()
    facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert psutil.Process(instance["pid"]).name().startswith("qemu-system")
    assert set(facts["Uid"].split()) == {"65534"} and int(facts["CapPrm"], 16) == int(facts["CapEff"], 16) == 0
    assert (facts["NoNewPrivs"], facts["Seccomp"]) == ("1", "2")
    assert instance["address"].startswith("127.0.0.1:") and not instance["address"].endswith(":8080")
    assert inside(served, "import os; print(os.environ['PORT'], os.getuid() > 0)") == "8080 True\n"
    assert served.get().text == "hello from one\n"
    assert "only root can give it a network" in served.run("explain", "-a", "app", "web", code=None).stdout
    for folder in ("state", "run"):
        there = Path(f"/proc/{instance['pid']}/root{served.home}/{folder}")
        assert there.stat().st_mode & 0o777 == 0 and not list(there.iterdir())


def test_it_reaches_services_and_nothing_else(served: Home) -> None:
    """Neither this host's loopback, which QEMU shows to guests unless it is told not to, nor what lies beyond."""
    for url in ("os.environ['OTHER_URL']", "'http://other:9000'"):
        assert inside(served, ASK.format(url)) == "hello from other\n"
    port = free_port()
    listener = subprocess.Popen([PYTHON, "-m", "http.server", str(port)], stderr=subprocess.DEVNULL)
    try:
        until(lambda: subprocess.run([PYTHON, "-c", CONNECT.format("127.0.0.1", port)]).returncode == 0, 60)
        hosts = ["127.0.0.1", "198.18.0.2", "198.18.0.3", "198.18.0.100", *own_addresses()]
        places = [(host, at) for host in hosts for at in (port, served.port)]
        assert inside(served, REACHED.format(places)) == "[]\n"
    finally:
        listener.kill()
        listener.wait()


REACHED = """
import socket
from concurrent.futures import ThreadPoolExecutor
def reached(place):
    try:
        socket.create_connection(place, timeout=5).close()
    except OSError:
        return False
    return True
places = {}
with ThreadPoolExecutor(len(places)) as pool:
    print([place for place, there in zip(places, pool.map(reached, places)) if there])
"""


def own_addresses() -> list[str]:
    """Of this host, loopback too."""
    told = psutil.net_if_addrs().values()
    return [each.address for link in told for each in link if each.family == socket.AF_INET]


def test_it_outlives_daemon_and_spawner(served: Home) -> None:
    (before,) = served.instances()
    served.spawner().kill()
    served.kill_daemon()
    served.start_daemon()
    until(lambda: served.service()["ready"] == 1, 60, "it to be known again")
    (after,) = served.instances()
    assert (after["id"], after["pid"], after["restarts"]) == (before["id"], before["pid"], 0)
    assert inside(served, "print('here')") == "here\n"
    until(lambda: served.get().text == "hello from one\n", 60, "it to be sent requests still")
    os.kill(after["pid"], signal.SIGKILL)
    until(lambda: served.instances()[0]["restarts"] == 1 and served.service()["ready"] == 1, 120, "another")
    until(lambda: served.get().text == "hello from one\n", 60, "it to be sent requests")


def test_it_moves_there_and_back(served: Home) -> None:
    file = served.root / "app" / "fourfold.yaml"
    with Traffic(served.port) as traffic:
        for to in ("process", "vm"):
            traffic.flow()
            served.run("deploy", "-f", str(file), "web", "--as", to)
            assert (served.service()["pattern"], served.service()["ready"]) == (to, 1)
            traffic.flow()
    traffic.unharmed()
    until(lambda: len(served.instances()) == 1, 60, "the old one to be gone")


def test_disks_are_made_to_be_taken_away_and_hold_files_of_root(served: Home) -> None:
    file = served.root / "app" / "fourfold.yaml"
    made = served.root / "disk.qcow2"
    served.run("build", "web", "-f", str(file), "--format", "qcow2", "--to", str(made), patience=900)
    told = subprocess.run(["qemu-img", "info", made], capture_output=True, text=True, check=True).stdout
    assert "file format: qcow2" in told
    owners = [owners_in(disk, "/etc/passwd") for disk in (served.state / "disks").glob("*/content")]
    assert [each for each in owners if each] == ["Uid: 0   Gid: 0"]


def owners_in(disk: Path, path: str) -> str:
    """Of a file on a disk; empty: it has none of that name."""
    told = subprocess.run(["dump.erofs", f"--path={path}", disk], capture_output=True, text=True).stdout
    return next((line.partition("  Access")[0] for line in told.splitlines() if line.startswith("Uid:")), "")


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ("volumes: [{name: data, path: /data}]", "virtiofsd"),
        ("vm: {base: debian}", "only root"),
        ("vm: {template: ready}", "only root"),
    ],
)
def test_what_only_root_can_is_refused(extra: str, words: str) -> None:
    home = Home(nobody=True, pattern="vm")
    try:
        file = home.app(web_file(home.port, extra=extra))
        assert words in home.run("up", "-f", str(file), code=2).stderr and not home.has_app()
    finally:
        home.close()
