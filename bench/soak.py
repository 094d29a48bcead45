"""Half an hour of a random life under load: changes, and kills, full disks and set clocks in the middle of them.

Nothing may be lost, nothing left behind, and after each step rows, processes and gateway must tell the same: see
`tests/chaos`. Ends at the first thing that is broken, with the seed that replays it.
`python -m bench.soak [--minutes 30] [--seed N] [--patterns process,container]`
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from statistics import median

import psutil
from tests.chaos.life import live
from tests.e2e.home import Home
from tests.support.netns import INSIDE

from bench.figures import verdict
from bench.machine import need_root_and_parts

MOST_GROWTH = 1.25
"""Of the daemon's memory, last quarter against second: it is a new daemon after each kill, so this is the store's."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--patterns", default="process,container", metavar="NAME,…", help="that it moves between")
    parser.add_argument("--rps", type=float, default=60.0, help="requests per second, of four kinds together")
    options = parser.parse_args()
    need_root_and_parts()
    if INSIDE not in os.environ:  # a daemon with containers changes routes and rules of the network that it is in
        again = [sys.executable, "-m", "tests.support.netns", "--", sys.executable, "-m", "bench.soak", *sys.argv[1:]]
        os.execv(sys.executable, again)
    patterns = tuple(options.patterns.split(","))
    home = Home(pattern=patterns[0])
    began = time.monotonic()
    ends = began + float(options.minutes) * 60
    sizes: list[int] = []

    def goes_on(taken: int) -> bool:
        sizes.append(daemon_bytes(home))
        return time.monotonic() < ends

    try:
        story = live(home, options.seed, goes_on, patterns, options.rps / 4)
    finally:
        home.close()
    print(f"\nsoak of {(time.monotonic() - began) / 60:.1f} min, seed {options.seed}\n{story}")
    quarter = max(1, len(sizes) // 4)
    early, late = median(sizes[quarter : 2 * quarter] or sizes), median(sizes[-quarter:])
    print(f"  memory of the daemon: {early / 2**20:.0f} MiB early, {late / 2**20:.0f} MiB late")
    holds = verdict("requests lost", story.report.failed - story.excused, 0)
    return 0 if verdict("growth of the daemon's memory", late / early, MOST_GROWTH) and holds else 1


def daemon_bytes(home: Home) -> int:
    return int(psutil.Process(home.daemon_pid()).memory_info().rss)


if __name__ == "__main__":
    raise SystemExit(main())
