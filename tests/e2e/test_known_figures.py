"""Services that differ in a known way: `fourfold compare` finds just that, and says what it asked them."""

from __future__ import annotations

import json
from typing import Any

from tests.e2e.home import Home

MIB = 1024 * 1024
SERVICES = """\
app: app
services:
  plain: &web
    source: ./web
    run: exec /usr/bin/python3 web.py
    port: 8080
    route: {path: /plain, strip: true}
    health: {path: /healthz}
  heavy:
    <<: *web
    route: {path: /heavy, strip: true}
    env: {STARTUP_DELAY: "1", MEMORY_HOG: "104857600"}
gateway: {listen: LISTEN}
"""


def compared(home: Home, service: str, *options: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The document, and what it says of the one pattern."""
    done = home.run(
        "-a", "app", "-o", "json", "compare", service, "--as", "process", "--quick", "--duration", "1s", *options
    )
    document = json.loads(done.stdout)
    (found,) = document["patterns"]
    return document, found


def test_what_is_known_comes_out(home: Home) -> None:
    """`heavy` starts a second later, holds 100 MiB more, and takes 10 ms of CPU for each request."""
    home.run("up", "-f", str(home.app(SERVICES)))
    for path in ("/plain/", "/plain/", "/plain/env?x=1", "/plain/none"):
        home.get(path)
    (asked := home.root / "requests").write_text("# costly\nGET /heavy/burn?seconds=0.01\n")

    document, plain = compared(home, "plain")
    load = document["load"]
    assert (load["source"], load["distinct_requests"], load["examples"]) == ("recorded", 2, ["GET /", "GET /env"])
    document, heavy = compared(home, "heavy", "--requests", str(asked), "--rps", "10")
    load = document["load"]
    assert (load["source"], load["requests_per_second"], load["examples"]) == ("file", 10, ["GET /burn?seconds=0.01"])

    assert heavy["requests"] == 20  # of two rounds
    assert heavy["errors"] == plain["errors"] == 0
    assert not [note for each in (plain, heavy) for note in each["notes"] if "status" in note]
    for figure in ("cold_start_seconds", "start_seconds", "restart_seconds"):
        assert 1 <= heavy[figure] <= 10
        assert heavy[figure] > plain[figure] > 0
    for figure in ("idle_memory_bytes", "loaded_memory_bytes", "next_instance_memory_bytes"):
        assert 98 * MIB <= heavy[figure] - plain[figure] <= 110 * MIB, figure
        assert 4 * MIB <= plain[figure] <= 40 * MIB
    assert 10 <= heavy["cpu_seconds_per_1000_requests"] <= 18  # twice would be 20
    assert 0 < plain["cpu_seconds_per_1000_requests"] <= 5
    assert heavy["requests_per_second"] <= 100  # one thread at a time runs Python
    assert heavy["requests_per_second"] < plain["requests_per_second"]
    assert heavy["latency_seconds"]["p50"] >= 0.01
    assert heavy["latency_seconds"]["p50"] <= heavy["latency_seconds"]["p95"] <= heavy["latency_seconds"]["p99"]
    assert heavy["requests_lost_in_deploy"] == plain["requests_lost_in_deploy"] == 0
    assert heavy["deploy_seconds"] >= 1
