"""What must hold once all is at rest, whatever has happened: rows, processes, gateway and answers tell the same."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing

from fourfold.gateway.runtime import live
from fourfold.gateway.socket import ask
from tests.chaos.schedule import LEAST
from tests.chaos.world import State
from tests.e2e.home import Home
from tests.e2e.test_kill_matrix import mains, version_served
from tests.support.wait import until

PATIENCE = 120.0
FAULTS = ("Traceback", "a fault in")
"""In the daemon's log: mistakes of ours, whatever else is told there."""


def at_rest(home: Home, what: str, *may: State) -> State:
    """Wait for rest; then one of these is served, and nothing else is there. -> which."""
    until(lambda: rests(home), PATIENCE, f"{what}: the app to be at rest")
    service, worker = home.service(), home.service("worker")
    instances = service["instances"]
    for each in (service, worker):
        assert {i["release"] for i in each["instances"]} <= {each["release"]}, f"{what}: two releases at rest"
    version = version_served(home, 0)
    found = State(version, len(instances), service["pattern"], bool(worker["instances"]))
    assert found in may, f"{what}: {found} is served, not {' or '.join(map(str, may))}"
    pids = sorted(each["pid"] for each in instances + worker["instances"])
    until(lambda: sorted(mains(home)) == pids, PATIENCE, f"{what}: exactly the processes {pids}")
    ids = {each["id"] for each in instances}
    until(lambda: in_gateway(home) == ids, PATIENCE, f"{what}: the gateway to know exactly {ids}")
    ids |= {each["id"] for each in worker["instances"]}
    assert in_store(home) == ids, f"{what}: the store has {in_store(home)}, not {ids}"
    return found


def rests(home: Home) -> bool:
    """Also the scaler: what it asks for under so little load is the least."""
    service = home.service()
    scaled = service["scaling"]["active"] and service["desired"] != LEAST
    return home.rests() and home.rests("worker") and not scaled


def in_gateway(home: Home) -> set[str]:
    """Servers that HAProxy has, of the app."""
    answer = asyncio.run(ask(home.home / "run/gateway/master.sock", "@1 show servers state"))
    return {server.name for server in live(answer).servers if server.backend.startswith("app.web")}


def in_store(home: Home) -> set[str]:
    with closing(sqlite3.connect(f"file:{home.home}/state/fourfold.db?mode=ro", uri=True)) as database:
        rows = database.execute("SELECT id FROM instances WHERE app = 'app' AND state != 'gone'")
        return {id for (id,) in rows}


def faults_told(home: Home) -> str:
    """From the first one on; empty when there is none."""
    log = home.daemon_log()
    found = [at for sign in FAULTS if (at := log.find(sign)) >= 0]
    return log[max(0, min(found) - 200) :][:6000] if found else ""
