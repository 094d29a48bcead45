"""What only containers promise: what one sees from inside, and that nothing is left of them."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.e2e.home import Home, web_file
from tests.support.mounts import mounts_of
from tests.support.ports import free_port
from tests.support.wait import until

pytestmark = pytest.mark.patterns("container")


def inside(home: Home, script: str, code: int | None = 0) -> str:
    return home.run("exec", "-a", "app", "web", "--", "/usr/bin/python3", "-c", script, code=code).stdout


@pytest.fixture
def served(home: Home) -> Home:
    home.run("up", "-f", str(home.app(web_file(home.port, VERSION="one"))))
    return home


def test_it_has_an_address_of_its_own_and_exactly_its_port(served: Home) -> None:
    (instance,) = served.instances()
    assert instance["address"].startswith("10.177.") and instance["address"].endswith(":8080")
    assert served.get().headers["x-version"] == "one"
    assert inside(served, "import os; print(os.environ['PORT'], os.environ['HOST'])") == "8080 0.0.0.0\n"


def test_from_inside_one_sees_nothing_of_others(served: Home) -> None:
    processes = (
        "import os; print(*[open(f'/proc/{p}/comm').read().strip() for p in os.listdir('/proc') if p.isdigit()])"
    )
    seen = inside(served, processes).split()
    assert not {"haproxy", "fourfold", "bash"} & set(seen) and len(seen) < 8, seen
    assert inside(served, f"import os; print(os.path.exists({str(served.home)!r}))") == "False\n"
    assert "Read-only file system" in inside(served, WRITE.format("/usr/x"))
    assert "Read-only file system" in inside(served, WRITE.format("/app/x"))
    assert inside(served, WRITE.format("/tmp/x")) == "written\n"
    status = inside(served, "print(open('/proc/self/status').read())")
    facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert int(facts["CapEff"], 16) == int(facts["CapBnd"], 16) == 0
    assert (facts["NoNewPrivs"], facts["Seccomp"]) == ("1", "2")
    assert "0" not in facts["Uid"].split()


WRITE = """
try:
    open({!r}, "w").close()
    print("written")
except OSError as error:
    print(error)
"""


def test_no_port_of_the_host_but_those_of_services(served: Home) -> None:
    port = free_port()
    listener = subprocess.Popen(["/usr/bin/python3", "-m", "http.server", str(port)], stderr=subprocess.DEVNULL)
    try:
        until(lambda: subprocess.run(["/usr/bin/python3", "-c", CONNECT.format("127.0.0.1", port)]).returncode == 0, 60)
        for host in (served.environ["FOURFOLD_BRIDGE"].split()[1].split("/")[0], "127.0.0.1"):
            inside(served, CONNECT.format(host, port), code=1)
    finally:
        listener.kill()
        listener.wait()
    inside(served, "import os, urllib.request; print(urllib.request.urlopen(os.environ['WEB_URL'], timeout=30).status)")


CONNECT = "import socket; socket.create_connection(({!r}, {}), timeout=3)"


def test_nothing_is_left(home: Home) -> None:
    """Mounts, namespaces, interfaces and control groups are those of before, whatever was killed in between."""
    file = home.app(web_file(home.port, instances=2, VERSION="one"))
    home.run("up", "-f", str(file))
    home.run("down", "-a", "app", "-y")
    until(lambda: not home.of_instances(), 60, "all to be gone")
    before = traces(home)
    for victim in ("instance", "spawner", "daemon"):
        home.run("up", "-f", str(file))
        if victim == "instance":
            os.kill(home.instances()[0]["pid"], signal.SIGKILL)
            until(lambda: all(i["state"] == "ready" for i in home.instances()), 60, "its restart")
        elif victim == "spawner":
            home.spawner().kill()
        else:
            home.kill_daemon()
            home.start_daemon()
        home.run("down", "-a", "app", "-y")
        until(lambda: traces(home) == before, 60, f"nothing to be left after the {victim} was killed")


def traces(home: Home) -> dict[str, list[str]]:
    groups = [*Path("/sys/fs/cgroup").glob(f"{home.group}/*"), *Path("/sys/fs/cgroup").glob(f"*/{home.group}/*")]
    return {
        "mounts": mounts_of(home.root),
        "links": sorted(path.name for path in Path("/sys/class/net").iterdir()),
        "groups": sorted(group.name for group in groups if group.is_dir() and ".gateway-" not in group.name),
        "containers": sorted(path.name for path in (home.home / "run" / "containers").glob("*")),
    }


def test_the_environments_secrets_are_in_no_file(home: Home) -> None:
    file = home.app(web_file(home.port, extra="secrets: [API_KEY]", VERSION="one"))
    home.run("secrets", "set", "API_KEY", "-a", "app", stdin="s3cret-value")
    home.run("up", "-f", str(file))
    assert inside(home, "import os; print(os.environ['API_KEY'])") == "s3cret-value\n"
    assert home.holding(b"s3cret-value") == []
