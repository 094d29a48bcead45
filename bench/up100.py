"""100 services, each `python3 -m http.server`: from the command that starts them to 100 answers of 200.

Nothing runs before: Fourfold, supervisord and PM2 each start their own daemon first. The bare loop is what the machine
can do. `python -m bench.up100 [--rounds 3] [--services 100]`
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from statistics import median

from bench.contenders import Bare, Contender, Fourfold, Pm2, Program, Supervisord, install_peers
from bench.figures import table, verdict
from bench.machine import folder, free_ports, need_root_and_parts, seconds_until_all_answer


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.up100", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--services", type=int, default=100)
    parser.add_argument("--only", help="contenders, separated by commas")
    options = parser.parse_args()
    need_root_and_parts()
    install_peers()
    rounds: dict[str, list[float]] = {}
    with folder() as base:
        for number in range(options.rounds):
            for contender in contenders(base / str(number)):
                if options.only and contender.name not in options.only.split(","):
                    continue
                seconds = measure(contender, programs(base, options.services))
                rounds.setdefault(contender.name, []).append(seconds)
                print(f"round {number + 1}: {contender.name}: {seconds:.2f} s", flush=True)
    print(table(f"\n{options.services} services up", "seconds", rounds))
    ours = median(rounds["fourfold"])
    limits = {"bare loop": 1.5, "supervisord": 1.0, "PM2": 1.0}
    held = [verdict(f"ours / {name}", ours / median(rounds[name]), limits[name]) for name in limits if name in rounds]
    return 0 if all(held) else 1


def contenders(base: Path) -> list[Contender]:
    return [Bare(base), Fourfold(base / "fourfold"), Supervisord(base / "supervisord"), Pm2(base / "pm2")]


def programs(base: Path, count: int) -> list[Program]:
    files = base / "files"
    files.mkdir(exist_ok=True)
    (files / "index.html").write_text("<h1>hello</h1>\n")
    return [
        Program(f"s{port}", port, ("python3", "-m", "http.server", str(port), "--bind", "127.0.0.1"), files)
        for port in free_ports(count)
    ]


def measure(contender: Contender, given: list[Program]) -> float:
    began = time.monotonic()
    try:
        contender.start(given)
        return seconds_until_all_answer([program.port for program in given], began)
    finally:
        contender.stop()


if __name__ == "__main__":
    raise SystemExit(main())
