"""Throughput through our gateway against the same HAProxy configured by hand, in front of the same instance.

Both add X-Forwarded-For, write an access log and balance over one server, which is an HAProxy that answers from memory,
so that the program is not what is measured. `wrk` keeps 64 connections. `python -m bench.gateway [--rounds 10]`
"""

from __future__ import annotations

import argparse
import re
import subprocess
from pathlib import Path
from statistics import median

from tests.support.wait import until

from bench.contenders import Fourfold
from bench.figures import table, verdict
from bench.machine import ENV, answers, folder, free_ports, need_root_and_parts

PROGRAM = """
defaults
  mode http
  timeout client 60s
frontend all
  bind 127.0.0.1:${PORT}
  http-request return status 200 content-type text/plain string "hello, this is one kilobyte of a page, or less"
"""
BY_HAND = """
global
  nbthread %(threads)s
  log stdout format raw local0
defaults
  mode http
  log global
  option httplog
  option forwardfor
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend all
  bind 127.0.0.1:%(port)s
  use_backend program if { path_beg / }
  default_backend program
backend program
  server one 127.0.0.1:%(server)s
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.gateway", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=int, default=3)
    options = parser.parse_args()
    need_root_and_parts()
    with folder() as base:
        rounds = run(base, options.rounds, options.seconds)
    print(table("Requests through the gateway", "requests per second", rounds))
    ratios = [ours / theirs for ours, theirs in zip(rounds["fourfold"], rounds["by hand"], strict=True)]
    return 0 if verdict("ours / by hand, median of the rounds", median(ratios), 0.95, at_least=True) else 1


def run(base: Path, count: int, seconds: int) -> dict[str, list[float]]:
    (base / "files").mkdir()
    (base / "files" / "program.cfg").write_text(PROGRAM)
    server, port = free_ports(2)
    fourfold = Fourfold(base / "fourfold")
    fourfold.folder.mkdir(mode=0o711)
    by_hand: subprocess.Popen[bytes] | None = None
    try:
        fourfold.start_file({"app": "bench", "services": {"program": service(base / "files", server)}})
        fourfold.wait()
        by_hand = start_by_hand(base, port, server, threads(fourfold))
        until(lambda: answers(port) and answers(fourfold.gateway), what="both gateways to answer")
        rounds: dict[str, list[float]] = {"by hand": [], "fourfold": []}
        for number in range(-1, count):
            pair = [("by hand", port), ("fourfold", fourfold.gateway)]
            for name, address in pair if number % 2 else reversed(pair):
                measured = wrk(address, seconds)
                if number >= 0:  # the round before the first is to warm up
                    rounds[name].append(measured)
                    print(f"round {number + 1}: {name}: {measured:.0f}/s", flush=True)
        return rounds
    finally:
        if by_hand is not None:
            by_hand.terminate()
            by_hand.wait()
        fourfold.stop()


def service(files: Path, port: int) -> dict[str, object]:
    return {
        "source": str(files),
        "run": ["haproxy", "-db", "-f", "program.cfg"],
        "port": {"fixed": port},
        "route": {"path": "/"},
    }


def threads(fourfold: Fourfold) -> int:
    """As many as our gateway uses: the comparison is about the configuration."""
    text = (fourfold.folder / "home" / "run" / "gateway" / "haproxy.cfg").read_text()
    found = re.search(r"nbthread (\d+)", text)
    return int(found[1]) if found else 1


def start_by_hand(base: Path, port: int, server: int, count: int) -> subprocess.Popen[bytes]:
    config = base / "by-hand.cfg"
    config.write_text(BY_HAND % {"port": port, "server": server, "threads": count})
    with (base / "by-hand.log").open("wb") as log:
        return subprocess.Popen(["haproxy", "-W", "-db", "-f", config], env=ENV, stdout=log, stderr=log)


def wrk(port: int, seconds: int) -> float:
    command = ["wrk", "-t1", "-c64", f"-d{seconds}s", f"http://127.0.0.1:{port}/"]
    output = subprocess.run(command, capture_output=True, text=True, check=True, env=ENV).stdout
    if "Non-2xx" in output or "Socket errors" in output:
        raise RuntimeError(f"requests failed:\n{output}")
    found = re.search(r"Requests/sec:\s+([\d.]+)", output)
    assert found is not None, output
    return float(found[1])


if __name__ == "__main__":
    raise SystemExit(main())
