"""Promise 2: any of our processes may be killed at any moment; services go on and all converges again."""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import signal
import socket
import sqlite3
from contextlib import closing, suppress
from datetime import datetime, timedelta
from typing import Any

import httpx
import psutil
import pytest

from tests.e2e.home import Home, web_file
from tests.support.load import Load
from tests.support.ports import free_port
from tests.support.wait import until


def test_one_of_two_instances_is_killed(home: Home) -> None:
    """At most the requests that it was answering are lost, and on a busy machine of each client one more: it is sent
    down a connection of which another thread of HAProxy has not seen yet that it is dead."""
    home.run("up", "-f", str(home.app(web_file(home.port, instances=2, VERSION="one"))))
    victim = home.instances()[0]
    with Load(f"http://127.0.0.1:{home.port}/", connections=4, rps=200) as load:
        until(lambda: load.report().ok > 50)
        os.kill(victim["pid"], signal.SIGKILL)
        until(lambda: all(i["state"] == "ready" and i["pid"] != victim["pid"] for i in home.instances()), 60)
        ok = load.report().ok
        until(lambda: load.report().ok > ok + 50)
    assert len(load.report().failures) <= 2 * 4, str(load.report())
    restarted = next(i for i in home.instances() if i["id"] == victim["id"])
    assert restarted["restarts"] == 1 and restarted["exit"]["signal"] == 9


def test_the_spawner_is_killed(home: Home) -> None:
    """Services serve on, are adopted, and the next exits are known again."""
    home.run("up", "-f", str(home.app(web_file(home.port, instances=2, VERSION="one"))))
    before = {i["pid"] for i in home.instances()}
    with Load(f"http://127.0.0.1:{home.port}/", connections=2, rps=100) as load:
        until(lambda: load.report().ok > 20)
        old = home.spawner()
        old.kill()
        until(lambda: home.spawner().pid != old.pid, 60, "another spawner")
        ok = load.report().ok
        until(lambda: load.report().ok > ok + 20)
    assert not load.report().failures, str(load.report())
    assert {i["pid"] for i in home.instances()} == before
    victim = home.instances()[0]
    os.kill(victim["pid"], signal.SIGKILL)
    until(lambda: all(i["state"] == "ready" for i in home.instances() if i["pid"] != victim["pid"]), 60)

    def again() -> dict[str, Any]:
        return next(i for i in home.instances() if i["id"] == victim["id"])

    until(lambda: again()["restarts"] == 1 and again()["pid"] is not None, 60, "its restart")
    crashed = again()
    os.kill(crashed["pid"], signal.SIGKILL)
    until(lambda: again()["restarts"] == 2, 60, "the next one")
    exit = again()["exit"]
    assert (exit["code"], exit["signal"]) != (None, None)


def test_haproxy_is_killed(home: Home) -> None:
    """Again and again; each time it is started again within a second, by the times that were recorded, or within five
    when others have the CPU too."""
    home.run("up", "-f", str(home.app(web_file(home.port, VERSION="one"))))
    for _ in range(3):
        killed = int(gateway_row(home)["pid"])
        os.kill(killed, signal.SIGKILL)
        started_again(home, killed)
        until(lambda: home.get().status_code == 200, 60, "the gateway to be back")
        row = gateway_row(home)
        assert row["started_at"] - json.loads(row["exit"])["at"] < 5
    assert home.service()["ready"] == 1


@pytest.mark.patterns("process")
@pytest.mark.parametrize("unwatched", [False, True])
def test_the_run_folder_is_emptied(home: Home, unwatched: bool) -> None:
    """By whoever clears caches: no second daemon and no second spawner come, and what runs is served as before."""
    home.run("up", "-f", str(home.app(web_file(home.port, VERSION="one"))))
    spawner, pid, daemon = home.spawner().pid, home.instances()[0]["pid"], home.daemon_pid()
    if unwatched:
        home.kill_daemon()
    shutil.rmtree(home.home / "run")
    home.web(home.root / "app" / "fourfold.yaml", VERSION="one", MORE=1)
    home.run("up", "-f", str(home.root / "app" / "fourfold.yaml"))
    assert (home.daemon_pid() == daemon) is not unwatched
    until(lambda: answers(home.port), 60, "the gateway to serve")
    home.kill_daemon()
    home.start_daemon()
    assert home.spawner().pid == spawner and home.service()["ready"] == 1
    until(lambda: exits(home), 60, "the end of the one before to be known")
    assert exits(home)[0]["code"] == 0 and not psutil.pid_exists(pid)


@pytest.mark.patterns("process")
def test_folders_of_the_state_are_removed(home: Home) -> None:
    home.run("up", "-f", str(home.app(web_file(home.port, VERSION="one"))))
    removed = [home.state / name for name in ("work", "caches", "usage")]
    for folder in removed:
        shutil.rmtree(folder)
    until(lambda: all(folder.is_dir() for folder in removed), 60, "them to be there again")
    home.run("up", "-f", str(home.root / "app" / "fourfold.yaml"), "--rebuild")
    home.run("gc")


def exits(home: Home) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(home.run("explain", "-a", "app", "web", "-o", "json").stdout)["exits"]
    return found


@pytest.mark.patterns("process")
def test_another_program_takes_an_address_while_haproxy_is_dead(home: Home) -> None:
    """That app is told to be without a gateway, and by whom; the others are served again."""
    home.run("up", "-f", str(home.app(web_file(home.port))))
    port = free_port()
    home.run("up", "-f", str(home.app(web_file(port).replace("app: app", "app: other"), "other")))
    daemon = psutil.Process(home.daemon_pid())
    daemon.suspend()
    gateways = [each for each in home.processes() if each.name() == "haproxy"]
    for process in gateways:
        with suppress(psutil.NoSuchProcess):  # HAProxy 3's worker goes with its master
            process.kill()
    psutil.wait_procs(gateways, 60)
    with socket.create_server(("127.0.0.1", port)):
        daemon.resume()
        until(lambda: home.status("other")["gateway_problem"] is not None, 60, "the thief to be named")
        until(lambda: answers(home.port), 60, "the other app to be served")
        problem = home.status("other")["gateway_problem"]
        assert f"cannot listen on 127.0.0.1:{port}" in problem and f"(pid {os.getpid()}" in problem
        said = home.run("explain", "-a", "other", "web").stdout
        assert "the gateway does not serve its routes" in said and "logs --previous gateway" in said
        assert "the gateway does not serve other" in home.run("doctor", code=1).stdout
        assert home.status()["gateway_problem"] is None
    until(lambda: answers(port), 60, "it to be served again")


def answers(port: int) -> bool:
    with suppress(httpx.HTTPError):
        return httpx.get(f"http://127.0.0.1:{port}/", timeout=5).status_code == 200
    return False


def started_again(home: Home, killed: int) -> None:
    until(lambda: gateway_row(home)["pid"] not in (killed, None), 60, "the gateway to be started again")


def gateway_row(home: Home) -> dict[str, Any]:
    with closing(sqlite3.connect(home.home / "state" / "fourfold.db")) as database:
        database.row_factory = sqlite3.Row
        rows = database.execute("SELECT * FROM instances WHERE service = 'gateway' AND state != 'gone'")
        (row,) = map(dict, rows)
        return row


def test_both_daemon_and_spawner_are_killed(home: Home) -> None:
    """What nobody watches goes on; what died meanwhile is found out."""
    home.run("up", "-f", str(home.app(web_file(home.port, instances=2, VERSION="one"))))
    one, two = home.instances()
    spawner = home.spawner()
    home.kill_daemon()
    spawner.kill()
    spawner.wait(60)
    kill_wholly(one["pid"])
    assert home.get().status_code == 200
    home.start_daemon()
    until(lambda: home.service()["ready"] == 2, 60, "two instances to be ready")
    pids = {i["id"]: i["pid"] for i in home.instances()}
    assert pids[two["id"]] == two["pid"] and pids[one["id"]] != one["pid"]


def kill_wholly(pid: int) -> None:
    """Back when it has ended: until then it may take a request that it does not answer."""
    descriptor = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    assert select.select([descriptor], [], [], 60)[0], "it ends"
    os.close(descriptor)


def test_after_a_reboot_everything_comes_back_in_order(home: Home) -> None:
    """Simulated: nothing of ours runs any more, and what is remembered says another boot id. Secrets included."""
    base = """\
  zbase:
    source: ./web
    run: exec /usr/bin/python3 web.py
    port: 8080
    health: {path: /healthz}
    secrets: [API_KEY]
    env: {STARTUP_DELAY: "2"}
"""
    text = web_file(home.port, extra="secrets: [API_KEY]\ndepends_on: [zbase]", VERSION="one")
    home.app(text.replace("  web:\n", f"{base}  web:\n"))
    home.run("secrets", "set", "API_KEY", "-a", "app", stdin="s3cret")
    home.run("up", "-f", str(home.root / "app" / "fourfold.yaml"))
    reboot(home)
    home.start_daemon()
    until(lambda: home.service()["ready"] == 1 and home.service("zbase")["ready"] == 1, 60, "all to be back")
    until(lambda: home.get().status_code == 200, 60, "the gateway to be back")
    (first,), (second,) = home.instances("zbase"), home.instances("web")
    ready_at = datetime.fromisoformat(first["started_at"]) + timedelta(seconds=first["ready_after"])
    assert first["ready_after"] >= 2
    assert datetime.fromisoformat(second["started_at"]) >= ready_at
    for instance in (first, second):
        assert instance["restarts"] == 0
        assert httpx.get(f"http://{instance['address']}/env", timeout=30).json()["API_KEY"] == "s3cret"


def reboot(home: Home) -> None:

    home.kill_daemon()
    until(lambda: not killed(home), 60, "all processes to be gone")
    database = sqlite3.connect(home.home / "state" / "fourfold.db")
    with database:
        database.execute("UPDATE instances SET boot_id = 'the-boot-before'")
    database.close()
    for path in sorted((home.home / "run").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()


def killed(home: Home) -> list[psutil.Process]:
    """Those that were there still: one may just have been about to start another."""
    there = home.processes()
    for process in there:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    return there


def test_a_crash_loop_is_named_and_slowed_down(home: Home) -> None:
    """A deployed service that begins to crash: restarted at once, then ever later, and called what it is."""
    extra = "restart: {backoff: {min: 1s, max: 2s}}"
    file = home.app(web_file(home.port, extra=extra, VERSION="one"))
    home.run("up", "-f", str(file))

    def crash() -> bool:
        instance = home.instances()[0]
        if instance["pid"] is not None:
            os.kill(instance["pid"], signal.SIGKILL)
        return bool(instance["state"] == "crash-loop")

    until(crash, 60, "the crash loop to be named")
    assert "crash loop" in home.run("explain", "-a", "app", "web", code=None).stdout
    assert "instance.crash-loop" in home.run("events", "-a", "app").stdout
    until(lambda: home.service()["ready"] == 1, 60, "it to recover when it is left alone")


@pytest.mark.patterns("process")  # which can reach the gate on the host's loopback
def test_two_ups_at_once(home: Home) -> None:
    """The second waits, says for whom and how long, and then does its work."""
    file = home.app(web_file(home.port, VERSION="one"))
    home.run("up", "-f", str(file))
    with socket.create_server(("127.0.0.1", 0)) as gate:
        wait = f"import socket; socket.create_connection({gate.getsockname()!r}).recv(1)"
        extra = f"deploy: {{before: [python3, -c, {json.dumps(wait)}]}}"
        file.write_text(web_file(home.port, extra=extra, VERSION="two"))
        first = home.start("up", "-f", str(file))
        gate.settimeout(60)
        held, _ = gate.accept()
        file.write_text(web_file(home.port, VERSION="three"))
        second = home.start("up", "-f", str(file))
        until(lambda: "operation.queued" in home.run("events", "-a", "app").stdout, 60, "the second to wait")
        held.close()
    output, _ = second.communicate(timeout=60)
    said, _ = first.communicate(timeout=60)
    assert first.returncode == 0 and second.returncode == 0, said + output
    assert re.search(r"waits for: up by \w.*, running for \d+ s", output), output
    assert home.get().headers["x-version"] == "three"


def test_a_foreign_process_is_never_signalled(home: Home) -> None:
    """The journal and the store name a pid that now belongs to somebody else: it is left alone."""
    import subprocess
    import sys

    home.run("up", "-f", str(home.app(web_file(home.port, VERSION="one"))))
    home.kill_daemon()
    instance_processes = [p for p in home.processes() if "web.py" in " ".join(p.cmdline())]
    home.spawner().kill()
    for process in instance_processes:
        with suppress(psutil.NoSuchProcess):  # it went with the one before
            process.kill()
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
    try:
        database = sqlite3.connect(home.home / "state" / "fourfold.db")
        with database:
            database.execute("UPDATE instances SET pid = ?", (bystander.pid,))
        database.close()
        journal = home.home / "run" / "spawner.journal"
        pids = [process.pid for process in instance_processes]
        text = journal.read_text()
        for pid in pids:
            text = text.replace(f'"pid": {pid},', f'"pid": {bystander.pid},')
        journal.write_text(text)
        home.start_daemon()
        until(lambda: home.service()["ready"] == 1, 60, "the service to be back")
        home.run("down", "-a", "app", "-y")
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


@pytest.mark.patterns("process", "shared", "container", "vm")  # what a program does about it is its sandbox's affair
@pytest.mark.parametrize("stubborn", [False, True])
def test_stop_honours_the_signal_and_its_grace(home: Home, stubborn: bool) -> None:
    """A program that listens to its stop signal ends by itself; one that does not is killed after the grace."""
    environ: dict[str, Any] = {"IGNORE_TERM": 1} if stubborn else {}
    grace = "grace: 1s" if stubborn else "grace: 60s"
    home.run("up", "-f", str(home.app(web_file(home.port, **environ).replace("grace: 5s", grace))))
    pid = home.instances()[0]["pid"]
    home.run("stop", "-a", "app", "web")
    assert home.instances() == [] and not psutil.pid_exists(pid)
    last = json.loads(home.run("explain", "-a", "app", "web", "-o", "json").stdout)["exits"][0]
    assert (last["code"], last["signal"]) == ((None, 9) if stubborn else (0, None))
