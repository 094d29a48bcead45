"""What must hold once all is at rest, whatever has happened: rows, processes, gateway and answers tell the same."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from typing import Any

from fourfold.gateway.runtime import live
from fourfold.gateway.socket import ask
from tests.chaos.schedule import LEAST
from tests.chaos.world import State
from tests.e2e.home import Home, resting
from tests.e2e.test_kill_matrix import mains, version_served
from tests.support.wait import until

PATIENCE = 120.0
FAULTS = ("Traceback", "a fault in")
"""In the daemon's log: mistakes of ours, whatever else is told there."""


def at_rest(home: Home, what: str, *may: State) -> State:
    """Wait for rest; then one of these is served, and nothing else is there. -> which."""
    service, worker = until(lambda: settled(home), PATIENCE, f"{what}: the app to be at rest, exactly its processes")
    instances = service["instances"]
    for each in (service, worker):
        assert {i["release"] for i in each["instances"]} <= {each["release"]}, f"{what}: two releases at rest"
    version = version_served(home, 0)
    found = State(version, len(instances), service["pattern"], bool(worker["instances"]))
    assert found in may, f"{what}: {found} is served, not {' or '.join(map(str, may))}"
    ids = {each["id"] for each in instances}
    until(lambda: in_gateway(home) == ids, PATIENCE, f"{what}: the gateway to know exactly {ids}")
    ids |= {each["id"] for each in worker["instances"]}
    assert in_store(home) == ids, f"{what}: the store has {in_store(home)}, not {ids}"
    return found


def settled(home: Home) -> list[dict[str, Any]]:
    """Both services; none until they rest and the processes are theirs: a death may not have been noticed yet. The
    scaler rests too: what it asks for under so little load is the least."""
    service, worker = home.service(), home.service("worker")
    scaled = service["scaling"]["active"] and service["desired"] != LEAST
    pids = sorted(each["pid"] or 0 for each in service["instances"] + worker["instances"])
    all_rest = resting(service) and resting(worker) and not scaled and sorted(mains(home)) == pids
    return [service, worker] if all_rest else []


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
