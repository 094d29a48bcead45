"""100 services, each `python3 -m http.server`: from the command that starts them to 100 answers of 200.

First with nothing running, so that Fourfold, supervisord and PM2 each start their own daemon too; then with those
daemons up, as on a machine that deploys every day. The bare loop is what the machine can do, in both.
`python -m bench.up100 [--rounds 3] [--services 100]`
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
    held = True
    for up, what in ((False, "with nothing running"), (True, "with their daemons up")):
        rounds: dict[str, list[float]] = {}
        with folder() as base:
            for number in range(options.rounds):
                for contender in in_turn(contenders(base / str(number)), number):
                    if options.only and contender.name not in options.only.split(","):
                        continue
                    seconds = measure(contender, programs(base, options.services), up)
                    rounds.setdefault(contender.name, []).append(seconds)
                    print(f"round {number + 1}, {what}: {contender.name}: {seconds:.2f} s", flush=True)
        print(table(f"\n{options.services} services up, {what}", "seconds", rounds))
        ours = median(rounds["fourfold"])
        limits = {"bare loop": 1.5, "supervisord": 1.0, "PM2": 1.0}
        for name in limits.keys() & rounds.keys():
            held &= verdict(f"ours / {name}", ours / median(rounds[name]), limits[name])
    return 0 if held else 1


def in_turn(them: list[Contender], number: int) -> list[Contender]:
    """Another one begins each round."""
    first = number % len(them)
    return [*them[first:], *them[:first]]


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


def measure(contender: Contender, given: list[Program], up: bool) -> float:
    try:
        if up:
            contender.prepare()
        began = time.monotonic()
        contender.start(given)
        return seconds_until_all_answer([program.port for program in given], began)
    finally:
        contender.stop()


if __name__ == "__main__":
    raise SystemExit(main())
