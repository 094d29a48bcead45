"""Planning 10,000 services of 10 instances each: at rest, all to be started, and all in a rolling deploy.

There is no peer to ask; the limit is a second for each. `python -m bench.plan [--services 10000] [--rounds 5]`
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from statistics import median

from bench.figures import verdict
from fourfold.plan.model import Deploying, Goal, Instance, Plan
from fourfold.plan.planner import plan

NOW = 1_000_000.0
World = tuple[dict[str, Goal], list[Instance]]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.plan", description=__doc__.splitlines()[0])
    parser.add_argument("--services", type=int, default=10_000)
    parser.add_argument("--instances", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    goals, instances = at_rest(options.services, options.instances)
    deploying = Deploying(started_at=NOW, progressed_at=NOW)
    moving = {key: replace(goal, revision="2", deploying=deploying) for key, goal in goals.items()}
    cases: dict[str, World] = {
        "at rest": (goals, instances),
        "all to be started": (goals, []),
        "all in a rolling deploy": (moving, instances),
    }
    print(f"Planning {options.services} services x {options.instances} instances (seconds, median of {options.rounds})")
    held = True
    for name, world in cases.items():
        seconds, answer = timed(*world, options.rounds)
        held &= verdict(f"{name}, {len(answer.actions)} actions", seconds, 1.0)
    return 0 if held else 1


def at_rest(services: int, count: int) -> World:
    goals: dict[str, Goal] = {}
    instances: list[Instance] = []
    for number in range(services):
        key = f"app{number % 100}.service{number}"
        needs = (f"app{number % 100}.service{number - 100}",) if number >= 100 and number % 7 == 0 else ()
        goals[key] = Goal(key=key, revision="1", count=count, depends_on=needs)
        instances += [Instance(f"{key}-1-{n:04x}", key, "1", "ready", since=NOW - 3600) for n in range(count)]
    return goals, instances


def timed(goals: dict[str, Goal], instances: list[Instance], rounds: int) -> tuple[float, Plan]:
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        answer = plan(goals, instances, NOW)
        times.append(time.perf_counter() - began)
    return median(times), answer


if __name__ == "__main__":
    raise SystemExit(main())
