"""Fourfold inside a machine of its own: systemd and pure cgroup v2, which hosts of tests need not have.

There the limits are those of the kernel's second interface alone, and the daemon is installed as its users do it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.home import WEB, Home
from tests.support.guest import FILE, Guest, checkout, key_pair
from tests.support.wait import until

pytestmark = [
    pytest.mark.patterns("vm"),
    pytest.mark.containers,
    pytest.mark.full,
    pytest.mark.timeout(3600),
]
FOURFOLD = "/app/.venv/bin/fourfold"
PATIENCE = 300
"""Seconds, for what takes a machine without KVM ten times as long as its host."""
SMALL = """\
app: small
services:
  web:
    source: ./web
    run: exec /usr/bin/python3 web.py
    port: 8080
    route: {path: /}
    health: {path: /healthz, interval: 1s, timeout: 10s, grace: 2m}
    resources: {cpu: 0.5, memory: 64Mi, pids: 40}
  neighbour:
    source: ./web
    run: exec /usr/bin/python3 web.py
    port: 8080
    health: {path: /healthz, interval: 1s, timeout: 10s, grace: 2m}
gateway: {listen: "127.0.0.1:8000"}
"""
ASK = """
import http.client, socket
daemon = http.client.HTTPConnection("fourfold")
daemon.sock = socket.socket(socket.AF_UNIX)
daemon.sock.connect("/run/fourfold/fourfold.sock")
daemon.request("GET", "/v1/apps/small")
print(daemon.getresponse().read().decode())
"""
"""What `fourfold status` asks, in a tenth of the time that it takes there."""


@pytest.fixture(scope="module")
def outside() -> Iterator[Home]:
    """Whose instance the guest is."""
    home = Home(pattern="vm")
    try:
        yield home
    finally:
        home.close()


@pytest.fixture(scope="module")
def guest(outside: Home) -> Iterator[Guest]:
    file = outside.app(FILE)
    checkout(file.parent / "checkout")
    key, public = key_pair(outside.root)
    outside.run("secrets", "set", "-a", "app", "ssh-keys", stdin=public)
    outside.run("up", "-f", str(file), patience=900)
    made = Guest(address_of(outside), key)
    made.run("cp -rT /app/brought /")
    yield made
    made.close()


def address_of(outside: Home) -> str:
    return str(outside.instances("guest")[0]["address"]).partition(":")[0]


def test_the_daemon_is_installed(guest: Guest) -> None:
    """As docs/commands.md says, by systemd: limits hold, its restarts touch no service, nothing is left."""
    guest.write("/root/small/fourfold.yaml", SMALL)
    guest.write("/root/small/web/web.py", WEB.read_text())
    guest.write("/root/small/ask.py", ASK)
    written = guest.run(f"{FOURFOLD} daemon install 2>/root/next", PATIENCE)
    assert written == "/etc/systemd/system/fourfold.service\n"
    steps = [line.strip() for line in guest.run("cat /root/next").splitlines()[1:]]
    assert steps[:2] == ["systemctl daemon-reload", "systemctl enable --now fourfold"]
    for step in steps[:2]:
        guest.run(step, PATIENCE)
    assert unit(guest, "ActiveState") == "active" and unit(guest, "Delegate") == "yes"
    assert fourfold(guest, "daemon", "status")  # at once: `start` has waited until it answers
    guest.run(f"cd /root/small && {FOURFOLD} up", 2 * PATIENCE)
    limits(guest)
    hog(guest)
    before = services(guest)
    daemon = int(unit(guest, "MainPID"))
    guest.run("systemctl daemon-reload && systemctl restart fourfold", PATIENCE)
    assert int(unit(guest, "MainPID")) != daemon
    limits(guest)  # systemd has looked at the tree's controllers anew
    assert services(guest) == before and get(guest) == "hello from unversioned\n"
    guest.run("kill -KILL $(systemctl show -P MainPID fourfold)")
    until(lambda: services(guest) == before, PATIENCE, "systemd to start it again", every=1)
    guest.run("systemctl stop fourfold", PATIENCE)
    assert get(guest) == "hello from unversioned\n", "services go on without a daemon"
    guest.run("systemctl start fourfold", PATIENCE)
    assert services(guest) == before
    fourfold(guest, "down", "-a", "small", "-y", "--purge")
    guest.run("systemctl disable --now fourfold", PATIENCE)
    until(lambda: not processes(guest), PATIENCE, "all of it to have ended", every=1)
    assert not guest.run("find /sys/fs/cgroup/fourfold -mindepth 1 -type d")


def test_limits_hold_on_pure_v2(guest: Guest) -> None:
    """The suites of limits and control groups, for real: none is skipped."""
    assert guest.run("stat -fc %T /sys/fs/cgroup").strip() == "cgroup2fs"
    assert guest.run("cat /proc/1/comm").strip() == "systemd"
    before = groups(guest)
    # I/O is limited per disk, and all of the guest's root is memory.
    guest.run("truncate -s 64M /disk && mkfs.ext4 -q /disk && mkdir /mnt/disk && mount -o loop /disk /mnt/disk")
    said = guest.pytest("tests/supervise/test_limits.py", "tests/spawner/test_fork.py", env="TMPDIR=/mnt/disk")
    assert "skipped" not in said and " passed" in said, said
    assert groups(guest) == before


def test_instances_live_and_die_in_v2_groups(guest: Guest) -> None:
    chosen = "how_it_ended or whole_tree or spawner or lost_journal or killed or unknown or cannot_start"
    before = groups(guest)
    guest.pytest("tests/supervise/test_instances.py", "tests/supervise/test_deaths.py", "-k", chosen)
    assert groups(guest) == before


def test_workers_have_groups_within_their_hosts_group(guest: Guest) -> None:
    """The host itself is in a leaf: v2 has no processes beside groups that limit something."""
    before = groups(guest)
    said = guest.pytest("tests/supervise/test_guests.py", "-k", "limits or life or entered or take")
    assert "skipped" not in said and " passed" in said, said
    assert groups(guest) == before


def test_everything_comes_back_after_a_reboot(guest: Guest, outside: Home) -> None:
    """The last one: all but what is on a volume is gone then. The state has a disk there, as any machine has one."""
    guest.run("truncate -s 400M /kept/disk && mkfs.ext4 -q /kept/disk")
    installed(guest)
    guest.write("/root/small/fourfold.yaml", SMALL.replace("port: 8080\n", "port: 8080\n    secrets: [TOKEN]\n", 1))
    guest.write("/root/small/web/web.py", WEB.read_text())
    guest.write("/root/small/ask.py", ASK)
    guest.run(f"cd /root/small && echo t0ken | {FOURFOLD} secrets set TOKEN -a small", PATIENCE)
    guest.run(f"cd /root/small && {FOURFOLD} up", 2 * PATIENCE)
    before, boot = services(guest), guest.run(BOOT_ID)
    guest.try_run("systemctl reboot --no-block")  # the connection may be gone before it answers
    guest.close()
    until(lambda: has_restarted(outside), PATIENCE, "it to boot", every=1)
    again = Guest(address_of(outside), guest.key)  # another address
    assert again.run(BOOT_ID) != boot
    again.run("cp -rT /app/brought /")
    installed(again)
    again.write("/root/small/ask.py", ASK)
    until(lambda: services(again).keys() == before.keys(), PATIENCE, "all of it to be back", every=1)
    until(lambda: get(again) == "hello from unversioned\n", PATIENCE, "the gateway to be back", every=1)
    assert "TOKEN=t0ken" in again.run(f"tr '\\0' '\\n' </proc/{services(again)['web']}/environ")
    fourfold(again, "down", "-a", "small", "-y", "--purge")
    again.run("systemctl disable --now fourfold", PATIENCE)
    again.close()


def has_restarted(outside: Home) -> bool:
    instance = outside.instances("guest")[0]
    return bool(instance["restarts"] and instance["state"] == "ready")


BOOT_ID = "cat /proc/sys/kernel/random/boot_id"


def installed(guest: Guest) -> None:
    """With its state on the volume; /etc is new with each boot."""
    guest.run("mkdir -p /var/lib/fourfold && mount -o loop /kept/disk /var/lib/fourfold")
    guest.run(f"{FOURFOLD} daemon install && systemctl daemon-reload && systemctl enable --now fourfold", PATIENCE)


def limits(guest: Guest) -> None:
    """The kernel has them, in the instance's own group, below the one of no unit."""
    (folder,) = guest.run("ls -d /sys/fs/cgroup/fourfold/*/small.web-*").split()
    files = {"cpu.max": "50000 100000", "memory.max": str(64 << 20), "pids.max": "40"}
    for name, expected in files.items():
        assert guest.run(f"cat {folder}/{name}").strip() == expected
    pid = str(services(guest)["web"])
    assert pid in guest.run(f"cat {folder}/cgroup.procs").split()


def hog(guest: Guest) -> None:
    """It dies alone, is said to have run out of memory, and comes again."""
    before = services(guest)
    guest.try_run(FETCH.format(f"/hog?bytes={256 << 20}"), PATIENCE)
    until(lambda: services(guest).get("web") not in (None, before["web"]), PATIENCE, "the hog to be replaced")
    assert services(guest)["neighbour"] == before["neighbour"]
    assert "out of memory" in fourfold(guest, "events", "-a", "small")


def services(guest: Guest) -> dict[str, int]:
    """Service -> pid of its ready instance."""
    status: dict[str, Any] = json.loads(guest.run("/usr/bin/python3 -I -S /root/small/ask.py", PATIENCE))
    return {
        service["name"]: instance["pid"]
        for service in status["services"]
        for instance in service["instances"]
        if instance["state"] == "ready"
    }


FETCH = (
    """python3 -c "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8000{}').read().decode(), end='')" """
)


def get(guest: Guest, path: str = "/") -> str:
    return guest.run(FETCH.format(path), PATIENCE)


def fourfold(guest: Guest, *arguments: str) -> str:
    return guest.run(f"{FOURFOLD} {' '.join(arguments)}", PATIENCE)


def unit(guest: Guest, name: str) -> str:
    return guest.run(f"systemctl show -P {name} fourfold").strip()


def groups(guest: Guest) -> list[str]:
    """Of instances, builds and tests."""
    return guest.run("find /sys/fs/cgroup/fourfold -mindepth 2 -type d 2>/dev/null; true").split()


def processes(guest: Guest) -> list[str]:
    """Of a Fourfold and its services."""
    words = ("fourfold.daemon", "spawner", "haproxy", "web.py")
    return [line for line in guest.run("ps -eo args --no-headers").splitlines() if any(word in line for word in words)]
