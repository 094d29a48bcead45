"""A step in load: how long until more instances are there, in seconds and in intervals of the scaler.

`python -m bench.autoscale [--rounds 5] [--interval 5]`. A service of one instance for 40 requests per second gets 20,
and then 150. What counts is the time from the first request of the step to the count that follows it, and to the last
new instance being ready. Each round begins at another moment of an interval.
"""

from __future__ import annotations

import argparse
import os
import shutil
import time

from tests.support.load import Load
from tests.support.wait import until

from bench.contenders import Fourfold
from bench.figures import table, verdict
from bench.machine import ROOT, folder, need_root_and_parts

TARGET, QUIET, STEP = 40, 20, 150
NEEDED = 4
INTERVALS = 2


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.autoscale", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--interval", type=float, default=5.0)
    options = parser.parse_args()
    need_root_and_parts()
    os.environ["FOURFOLD_SCALE_INTERVAL"] = str(options.interval)
    rounds: dict[str, list[float]] = {"decided": [], "all ready": []}
    with folder() as base:
        files = base / "files"
        files.mkdir()
        shutil.copy(ROOT / "tests/support/services/web.py", files)
        fourfold = Fourfold(base / "fourfold")
        fourfold.folder.mkdir(mode=0o711)
        scaling = {"max": 8, "per_instance": {"rps": TARGET}, "window": {"down": options.interval}}
        service = {"source": str(files), "run": ["python3", "web.py"], "port": 8080, "instances": scaling}
        try:
            fourfold.start_file({"app": "bench", "services": {"web": {**service, "route": {"path": "/"}}}})
            fourfold.wait()
            for number in range(options.rounds):
                time.sleep(options.interval * (number / options.rounds))
                decided, ready = step(fourfold, options.interval)
                rounds["decided"].append(decided)
                rounds["all ready"].append(ready)
        finally:
            fourfold.stop()
    print(table(f"A step from {QUIET} to {STEP} requests per second, {TARGET} for each", "seconds", rounds, ours=""))
    longest = max(rounds["decided"]) / options.interval
    return 0 if verdict("intervals until it is followed, at most", longest, INTERVALS) else 1


def step(fourfold: Fourfold, interval: float) -> tuple[float, float]:
    """Seconds until the count follows, and until all that are needed are ready."""
    url = f"http://127.0.0.1:{fourfold.gateway}/"
    with fourfold.api() as api:

        def counts() -> tuple[int, int]:
            (web,) = api.get("/v1/apps/bench").raise_for_status().json()["services"]
            return web["desired"], web["ready"]

        with Load(url, rps=QUIET, max_seconds=3600):
            until(lambda: counts() == (1, 1), 20 * interval + 30, "one instance")
            time.sleep(2 * interval)
            with Load(url, rps=STEP - QUIET, connections=8, max_seconds=3600):
                began = time.monotonic()
                until(lambda: counts()[0] > 1, 10 * interval, "more instances")
                decided = time.monotonic() - began
                until(lambda: counts()[1] >= NEEDED, 10 * interval + 30, "all of them")
                return decided, time.monotonic() - began


if __name__ == "__main__":
    raise SystemExit(main())
