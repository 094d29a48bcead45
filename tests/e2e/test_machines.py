"""What only virtual machines promise: what one is from inside, what it shares, and why one did not come up."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from fourfold.supervise.machines import accelerators
from tests.e2e.home import HEALTH, Home, web_file
from tests.e2e.test_containers import CONNECT
from tests.support.ports import free_port
from tests.support.wait import until

pytestmark = [pytest.mark.patterns("vm"), pytest.mark.containers]
PYTHON = "/usr/bin/python3"


def inside(home: Home, script: str, *arguments: str, code: int | None = 0, instance: str = "") -> str:
    chosen = ("--instance", instance) if instance else ()
    return home.run("exec", "-a", "app", "web", *chosen, "--", PYTHON, "-c", script, *arguments, code=code).stdout


@pytest.fixture(scope="module")
def served(images: Path) -> Iterator[Home]:
    """One for all that leave it as it was."""
    home = Home(pattern="vm")
    try:
        home.take_images(images)
        home.run("up", "-f", str(home.app(web_file(home.port, VERSION="one"))))
        yield home
    finally:
        home.close()


def test_what_it_is_from_inside(served: Home) -> None:
    (instance,) = served.instances()
    assert instance["address"].startswith("10.177.") and instance["address"].endswith(":8080")
    assert inside(served, "import os; print(os.environ['PORT'], os.environ['HOST'])") == "8080 0.0.0.0\n"
    seen = "import os; print(*[open(f'/proc/{p}/comm').read().strip() for p in os.listdir('/proc') if p.isdigit()])"
    assert {"haproxy", "bash", "sshd"}.isdisjoint(inside(served, seen).split())
    assert inside(served, "import os; print(os.getuid() > 0, os.path.exists('/bin/sh'))") == "True False\n"
    assert inside(served, "import sys; sys.exit(7)", code=7) == ""
    said = served.run("exec", "-a", "app", "web", "--", "/no/such/program", code=127)
    assert "/no/such/program" in said.stderr
    echoed = served.run("exec", "-a", "app", "web", "--", PYTHON, "-c", "print(input())", stdin="hello\n")
    assert echoed.stdout == "hello\n"


def test_qemu_may_little(served: Home) -> None:
    """It is the service's user, without network, capabilities or a way to get any, and sees no file of Fourfold's."""
    (instance,) = served.instances()
    status = Path(f"/proc/{instance['pid']}/status").read_text()
    facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert psutil.Process(instance["pid"]).name().startswith("qemu-system")
    assert "0" not in facts["Uid"].split() and int(facts["CapPrm"], 16) == int(facts["CapEff"], 16) == 0
    assert (facts["NoNewPrivs"], facts["Seccomp"]) == ("1", "2")
    assert facts["THP_enabled"] == ("0" if "tcg," in " ".join(psutil.Process(instance["pid"]).cmdline()) else "1")
    links = Path(f"/proc/{instance['pid']}/net/dev").read_text().splitlines()[2:]
    assert [line.split(":")[0].strip() for line in links] == ["lo"]
    for folder in ("state", "run"):
        there = Path(f"/proc/{instance['pid']}/root{served.home}/{folder}")
        assert there.stat().st_mode & 0o777 == 0 and not list(there.iterdir())


def test_it_reaches_services_and_nothing_else_of_this_host(served: Home) -> None:
    port = free_port()
    listener = subprocess.Popen([PYTHON, "-m", "http.server", str(port)], stderr=subprocess.DEVNULL)
    try:
        until(lambda: subprocess.run([PYTHON, "-c", CONNECT.format("127.0.0.1", port)]).returncode == 0, 60)
        for host in (served.environ["FOURFOLD_BRIDGE"].split()[1].split("/")[0], "127.0.0.1"):
            inside(served, CONNECT.format(host, port), code=1)
    finally:
        listener.kill()
        listener.wait()
    inside(served, "import os, urllib.request; print(urllib.request.urlopen(os.environ['WEB_URL'], timeout=30).status)")
    served.run("scale", "-a", "app", "web=2")
    one, two = served.instances()
    inside(served, CONNECT.format(*two["address"].split(":")), code=1, instance=one["id"])
    served.run("scale", "-a", "app", "web=1")


def test_a_one_off_has_a_machine_of_its_own(served: Home) -> None:
    script = "import socket; print(input(), socket.gethostname())"
    told = served.run("run", "-a", "app", "web", "--", PYTHON, "-c", script, stdin="hello\n")
    (instance,) = served.instances()
    assert told.stdout.startswith("hello ") and instance["id"].partition(".")[2] not in told.stdout
    assert served.run("run", "-a", "app", "web", "--", PYTHON, "-c", "raise SystemExit(5)", code=5).returncode == 5
    until(lambda: len(served.of_instances()) == 1, 60, "the machines of one-offs to be gone")


def test_a_volume_is_one_folder_for_all_and_for_every_pattern(home: Home) -> None:
    extra = "volumes: [{name: data, path: /data}]"
    file = home.app(web_file(home.port, instances=2, extra=extra))
    home.environ["TEST_PATTERN"] = "process"
    home.run("up", "-f", str(file))
    write = "import sys; open('/data/log', 'a').write(sys.argv[1] + '\\n')"
    read = "print(open('/data/log').read().split())"
    inside(home, write, "process")
    told = home.run("deploy", "-f", str(file), "web", "--as", "vm").stderr
    locks = accelerators.virtiofsd() == accelerators.QEMUS_VIRTIOFSD
    assert ("within one machine only" in told) is not locks
    until(lambda: [each["pattern"] for each in home.instances()] == ["vm"] * 2, 60, "the processes to be gone")
    one, two = (each["id"] for each in home.instances())
    for name, other in ((one, two), (two, one)):
        inside(home, write, name, instance=name)
        assert name in inside(home, read, instance=other)
    lock = "import fcntl; f = open('/data/log', 'a'); fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB); print('mine')"
    hold = f"{lock}; import sys, time; sys.stdout.flush(); time.sleep(600)"
    holder = home.start("exec", "-a", "app", "web", "--instance", one, "--", PYTHON, "-c", hold)
    assert holder.stdout is not None and holder.stdout.readline() == "mine\n"
    assert ("mine" in inside(home, lock, code=None, instance=two)) is not locks
    holder.kill()
    holder.wait()
    home.run("deploy", "-f", str(file), "web", "--as", "process")
    assert inside(home, read) == f"{['process', one, two]}\n"


def test_a_container_may_have_a_kernel_of_its_own(home: Home) -> None:
    home.environ["TEST_PATTERN"] = "container"
    file = home.app(web_file(home.port, extra="container: {isolation: vm}"))
    home.run("up", "-f", str(file))
    assert home.service()["pattern"] == "container" and home.get().status_code == 200
    assert psutil.Process(home.instances()[0]["pid"]).name().startswith("qemu-system")
    kernel = home.run("exec", "-a", "app", "web", "--", "/bin/sh", "-c", "uname -r").stdout.strip()
    assert "cloud" in kernel and kernel != os.uname().release


def test_a_hung_machine_is_replaced(home: Home) -> None:
    health = "{path: /healthz, interval: 1s, grace: 1h, live: {path: /healthz, interval: 200ms, failures: 3}}"
    text = web_file(home.port).replace(HEALTH, health)
    home.run("up", "-f", str(home.app(text)))
    (before,) = home.instances()
    os.kill(before["pid"], signal.SIGSTOP)
    until(lambda: home.instances()[0]["restarts"] and home.service()["ready"] == 1, 120, "its replacement")
    assert not psutil.pid_exists(before["pid"])


@pytest.mark.parametrize(
    ("broken", "words"), [("initrd", "kernel of its virtual machine panicked"), ("disk", "could not run it")]
)
def test_a_machine_that_does_not_boot_is_explained(home: Home, broken: str, words: str) -> None:
    """As after a disk that lost what was on it. Not from a template, which needs neither kernel nor init."""
    file = home.app(web_file(home.port, extra="vm: {template: off}"))
    home.run("up", "-f", str(file))
    home.run("stop", "-a", "app", "web")
    for content in (home.state / "disks").glob("*/content"):
        with content.open("rb") as opened:
            head = opened.read(2048)
        kind = "initrd" if head.startswith(b"0707") else "kernel" if head.startswith(b"\x7fELF") else "disk"
        if kind == broken:
            content.unlink()  # it is linked to from elsewhere
            content.write_bytes(b"x" * 8192)
    failed = home.run("restart", "-a", "app", "web", code=1)
    assert words in failed.stdout + failed.stderr
    assert words in home.run("explain", "-a", "app", "web", code=None).stdout


def test_too_little_memory_is_refused_before_anything_changes(home: Home) -> None:
    refused = home.run("up", "-f", str(home.app(web_file(home.port, extra="resources: {memory: 16Mi}"))), code=2)
    assert "32Mi at least" in refused.stderr and not home.has_app()


def test_nothing_is_left(home: Home) -> None:
    """Interfaces, folders and control groups are those of before, whatever was killed in between."""
    extra = "volumes: [{name: data, path: /data}]"
    file = home.app(web_file(home.port, instances=2, extra=extra, VERSION="one"))
    home.run("up", "-f", str(file))
    home.run("down", "-a", "app", "-y")
    until(lambda: not home.of_instances(), 60, "all to be gone")
    before = traces(home)
    home.run("up", "-f", str(file))
    os.kill(home.instances()[0]["pid"], signal.SIGKILL)
    home.spawner().kill()
    home.kill_daemon()
    home.start_daemon()
    until(lambda: home.service()["ready"] == 2, 60, "both to be there")
    home.run("down", "-a", "app", "-y")
    until(lambda: traces(home) == before, 60, "nothing to be left")


def traces(home: Home) -> dict[str, list[str]]:
    groups = [*Path("/sys/fs/cgroup").glob(f"{home.group}/*"), *Path("/sys/fs/cgroup").glob(f"*/{home.group}/*")]
    return {
        "processes": [process.name() for process in home.of_instances()],
        "links": sorted(path.name for path in Path("/sys/class/net").iterdir()),
        "groups": sorted(group.name for group in groups if group.is_dir() and ".gateway-" not in group.name),
        "machines": sorted(path.name for path in (home.home / "run" / "machines").glob("*")),
    }
