"""`advise` by a daemon: what runs, what this machine and its builders refuse, what was measured and recorded."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from fourfold.clock import SystemClock
from fourfold.cost.comparison import Facts
from fourfold.paths import Paths
from fourfold.store.model import ComparisonRow
from fourfold.store.store import open_store
from tests.cost.advice.rig import compared
from tests.e2e.home import Home, web_file

pytestmark = pytest.mark.containers


def advised(home: Home, *arguments: str) -> dict[str, Any]:
    (found,) = json.loads(home.run("advise", *arguments, "-o", "json").stdout)
    return {**found, "patterns": {each["pattern"]: each for each in found["patterns"]}}


def test_a_service_from_its_file_to_its_measurements(home: Home) -> None:
    file = home.app(web_file(home.port))
    before = advised(home, "-f", str(file))
    assert "this machine" in before["unknown"]
    assert not home.socket.exists(), "it starts no daemon"

    home.run("up", "-f", str(file))
    for _ in range(3):
        home.get()
    there = advised(home, "-f", str(file))
    assert {"its service file", "its source", "this machine"} <= set(there["known"])
    assert {"traffic (1 hour so far)", "traffic (2 hours so far)"} & set(there["unknown"]), "one may just have ended"
    assert there["advised"] == before["advised"]
    assert advised(home, "-a", "app")["patterns"] == advised(home, "-a", "app", "web")["patterns"]

    home.run("deploy", "-f", str(file), "web", "--as", "function")
    moved = advised(home, "-f", str(file))
    assert moved["now"] == "function", "what it runs as, whatever the file says"
    assert any(reason["rule"] == "runs-so" for reason in moved["patterns"]["function"]["reasons"])

    text = file.read_text()
    file.write_text(text.replace("    port:", "    runtime: python3.99\n    port:"))
    refused = advised(home, "-f", str(file))
    (stop,) = refused["patterns"]["process"]["blockers"]
    assert stop["kind"] == "host" and "3.99" in stop["why"], "the builders' own words"
    file.write_text(text)

    measured(home)
    home.run("plan", "-f", str(file))  # starts a daemon
    seen = advised(home, "-f", str(file))
    assert "measurements of 2026-11-20 (5 rounds)" in seen["known"]
    reasons = {reason["rule"]: reason for reason in seen["patterns"]["function"]["reasons"]}
    assert reasons["writes"]["evidence"] == "/app/cache.db"
    assert seen["patterns"]["vm"]["blockers"][0]["why"] == "when it was compared: it did not boot"
    assert any("release 3" in note for note in seen["notes"])

    home.run("advise", "-a", "nope", code=2)
    home.run("advise", "-a", "app", "nope", code=2)


def measured(home: Home) -> None:
    """What `compare` stores, while no daemon is there."""
    home.run("daemon", "stop")
    document = compared(
        {
            "process": {"start_seconds": 0.2, "next_instance_memory_bytes": 20_000_000},
            "function": {"start_seconds": 0.3, "facts": Facts(files_written=("/app/cache.db",))},
            "vm": {"available": False, "reason": "it did not boot"},
        },
        app="app",
        service="web",
    ).model_dump_json()
    store = open_store(Paths.find({"FOURFOLD_HOME": str(home.home)}, os.geteuid()), SystemClock())
    store.comparisons.put(ComparisonRow("one", "app", "web", 3, 1.0, document))
    store.database.close()
