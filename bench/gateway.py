"""Throughput through our gateway against the same HAProxy configured by hand, in front of the same instance.

Both tell the program who asked (X-Forwarded-For, -Proto, -Host, -Port), give each request an id, write an access log
and balance over one server, which is an HAProxy that answers from memory, so that the program is not what is measured.
Each is in control groups of its own beside the other's, with the same weight: which of them the kernel lets run first
is no question of configuration. `wrk` keeps 64 connections.
`python -m bench.gateway [--rounds 10]`
"""

from __future__ import annotations

import argparse
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from tests.support.wait import until

from bench.contenders import Fourfold
from bench.figures import table, verdict
from bench.machine import (
    ENV,
    answers,
    command_line,
    folder,
    free_ports,
    need_root_and_parts,
    processes_of,
    with_descendants,
)

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
  http-request set-header X-Forwarded-Proto http
  http-request set-header X-Forwarded-Host %%[req.hdr(host)]
  http-request set-header X-Forwarded-Port %(port)s
  unique-id-format %%[uuid()]
  unique-id-header X-Request-Id
  http-request del-header x-request-id
  http-after-response set-header X-Request-Id %%[unique-id]
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
    groups: list[Path] = []
    try:
        fourfold.start_file({"app": "bench", "services": {"program": service(base / "files", server)}})
        fourfold.wait()
        by_hand = start_by_hand(base, port, server, threads(fourfold))
        until(lambda: answers(port) and answers(fourfold.gateway), what="both gateways to answer")
        groups = groups_beside(gateway_of(fourfold), with_descendants([by_hand.pid]))
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
        for group in groups:
            group.rmdir()
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


def gateway_of(fourfold: Fourfold) -> int:
    """Our HAProxy's process; the program is one too, with another command."""
    found = (pid for pid in processes_of(fourfold.folder / "home") if "haproxy.cfg" in command_line(pid))
    return min(found)


def groups_beside(pid: int, others: Sequence[int]) -> list[Path]:
    """Control groups like those of `pid`, for `others`. -> their folders; none where `pid` has none."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    made = []
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, name = line.split(":", 2)
        if not name.startswith("/fourfold/"):
            continue
        kind = "cgroup" if controllers else "cgroup2"
        wanted = set(controllers.split(",")) if controllers else set()
        point = next(Path(each[1]) for each in mounts if each[2] == kind and wanted <= set(each[3].split(",")))
        beside, group = point / name[1:], point / f"{name[1:]}-by-hand"
        group.mkdir()
        made.append(group)
        for file in ("cpu.shares", "cpu.weight"):
            if (beside / file).exists():
                (group / file).write_text((beside / file).read_text())
        for other in others:
            (group / "cgroup.procs").write_text(str(other))
    return made


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
