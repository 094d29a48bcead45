"""What a command costs: CPU of its process from exec to exit, with the daemon up; beside what peers' clients cost.

`up` of 100 services changes nothing and does not wait: what it does is to read, pack, send and ask.
`python -m bench.cli [--rounds 20]`
"""

from __future__ import annotations

import argparse
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from statistics import median

from bench.contenders import FOURFOLD, Fourfold, Pm2, Supervisord, install_peers
from bench.figures import table, verdict
from bench.machine import ENV, folder, need_root_and_parts

LIMITS = {"--help": 0.1, "version": 0.15, "status": 0.2, "scale": 0.2, "deploy": 0.2, "up": 0.2, "up of 100": 0.2}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.cli", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    need_root_and_parts()
    install_peers()
    with folder() as base:
        ours, supervisord, pm2 = Fourfold(base / "fourfold"), Supervisord(base / "sv"), Pm2(base / "pm2")
        try:
            for each in (ours, supervisord, pm2):
                each.prepare()
            peers = {"supervisorctl": supervisord.command("status"), "pm2": pm2.command("list")}
            rounds = run(base, ours, peers, options.rounds)
        finally:
            for each in (ours, supervisord, pm2):
                each.stop()
    print(table("A command", "seconds of CPU", rounds, ours="status"))
    held = [verdict(f"{name}, median", median(rounds[name]), limit) for name, limit in LIMITS.items()]
    return 0 if all(held) else 1


def run(base: Path, ours: Fourfold, peers: Mapping[str, list[str]], count: int) -> dict[str, list[float]]:
    for name in ("one", "hundred"):
        (ours.folder / name).mkdir()
    ours.start_file(app("hundred", 100))
    ours.wait()
    file = ours.folder / "fourfold.yaml"
    hundred = file.rename(ours.folder / "hundred.yaml")
    ours.start_file(app("one", 1))
    ours.wait()
    one = ["-f", str(file), "-q"]
    commands = {
        "--help": ["--help"],
        "version": ["version"],
        "status": ["status", *one],
        "scale": ["scale", "s0=1", *one],
        "deploy": ["deploy", "s0", *one],
        "up": ["up", *one],
        "up of 100": ["up", "-f", str(hundred), "-q", "--detach"],
    }
    asked = {name: ([FOURFOLD, *words], ours.env) for name, words in commands.items()}
    asked |= {name: (words, {**ENV, "PM2_HOME": str(base / "pm2/home")}) for name, words in peers.items()}
    rounds: dict[str, list[float]] = {name: [] for name in asked}
    for _ in range(count):
        for name, (words, env) in asked.items():
            rounds[name].append(cpu_of(words, env))
    return rounds


def app(name: str, count: int) -> dict[str, object]:
    services = {f"s{number}": {"run": "sleep infinity", "source": f"./{name}"} for number in range(count)}
    return {"app": name, "services": services}


def cpu_of(words: list[str], env: Mapping[str, str]) -> float:
    """Of the process and of those that it has waited for."""
    process = subprocess.Popen(words, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(words)} ended with exit code {process.returncode}")
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    raise SystemExit(main())
