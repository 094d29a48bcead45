"""SIGKILL an instance: how long until it answers again, beyond the time that the program itself takes to start?

The peers restart the same program on the same machine; the program's own start is measured in the same turns.
`python -m bench.restart [--rounds 20]`
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import time
from pathlib import Path
from statistics import median

from bench.contenders import Bare, Contender, Fourfold, Pm2, Program, Supervisord, install_peers
from bench.figures import table, verdict
from bench.machine import ROOT, answers, folder, free_ports, get, need_root_and_parts, seconds_until_all_answer

LIMIT = 0.050


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.restart", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    need_root_and_parts()
    install_peers()
    with folder() as base:
        keepers: list[Contender] = [Fourfold(base / "fourfold"), Supervisord(base / "sv"), Pm2(base / "pm2")]
        rounds = run(base, keepers, options.rounds)
    print(table("Killed to answering again", "seconds", rounds))
    beyond = [ours - own for ours, own in zip(rounds["fourfold"], rounds["own start"], strict=True)]
    return 0 if verdict("beyond the program's own start, median", median(beyond), LIMIT) else 1


def run(base: Path, keepers: list[Contender], count: int) -> dict[str, list[float]]:
    """Each round kills a program that was never killed before: nobody sees a crash loop."""
    ports = free_ports(count * (len(keepers) + 1))
    rounds: dict[str, list[float]] = {"own start": [], **{keeper.name: [] for keeper in keepers}}
    given = {name: programs(base, ports[i * count : (i + 1) * count]) for i, name in enumerate(rounds)}
    began = time.monotonic()
    try:
        for keeper in keepers:
            keeper.start(given[keeper.name])
            seconds_until_all_answer([program.port for program in given[keeper.name]], began)
        time.sleep(3)  # supervisord calls a program started only after a second; let everybody come to rest
        for number in range(count):
            rounds["own start"].append(own_start(base, given["own start"][number]))
            for keeper in keepers:
                rounds[keeper.name].append(kill_and_wait(given[keeper.name][number].port))
    finally:
        for keeper in keepers:
            keeper.stop()
    return rounds


def programs(base: Path, ports: list[int]) -> list[Program]:
    files = base / "files"
    files.mkdir(exist_ok=True)
    shutil.copy(ROOT / "tests/support/services/web.py", files)
    return [Program(f"s{port}", port, ("python3", "web.py"), files) for port in ports]


def own_start(base: Path, program: Program) -> float:
    bare = Bare(base)
    began = time.monotonic()
    try:
        bare.start([program])
        return until_answering(program.port, began)
    finally:
        bare.stop()


def kill_and_wait(port: int) -> float:
    pid = int(get(port, b"GET /pid HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n").rpartition(b"\r\n\r\n")[2])
    began = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    return until_answering(port, began)


def until_answering(port: int, began: float) -> float:
    while not answers(port):
        if time.monotonic() - began > 60:
            raise TimeoutError(f"port {port} does not answer again")
        time.sleep(0.001)
    return time.monotonic() - began


if __name__ == "__main__":
    raise SystemExit(main())
