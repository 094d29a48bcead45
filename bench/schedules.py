"""What 1,000 schedules cost that are not due: CPU and memory of the daemon.

`python -m bench.schedules [--count 1000] [--seconds 30]`
"""

from __future__ import annotations

import argparse
from pathlib import Path

from bench.contenders import Fourfold
from bench.figures import verdict
from bench.idle import watch
from bench.machine import folder, need_root_and_parts

PER_SERVICE = 100


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.schedules", description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=30)
    options = parser.parse_args()
    need_root_and_parts()
    with folder() as base:
        files = base / "files"
        files.mkdir()
        (files / "job.py").write_text("print('done')\n")
        print(f"{options.count} schedules at rest for {options.seconds:.0f} s")
        none = measure(base / "none", files, 0, options.seconds)
        all_ = measure(base / "all", files, options.count, options.seconds)
    print(f"  more than without: {all_ - none:.2f} % of a core")
    return 0 if verdict("daemon, % of a core", all_, 1) else 1


def measure(base: Path, files: Path, count: int, seconds: float) -> float:
    """Per cent of a core that the daemon takes with so many schedules, due once a year."""
    fourfold = Fourfold(base)
    base.mkdir(mode=0o711)
    crons = [f"{number % 60} {number // 60 % 24} 29 2 *" for number in range(count)]
    services = {
        f"s{start}": {
            "source": str(files),
            "run": ["python3", "job.py"],
            "job": {},
            "triggers": [{"schedule": {"cron": cron}} for cron in crons[start : start + PER_SERVICE]],
        }
        for start in range(0, max(count, 1), PER_SERVICE)
    }
    try:
        fourfold.start_file({"app": "bench", "services": services})
        fourfold.wait()
        daemon = fourfold.status()["daemon"]
        assert isinstance(daemon, dict)
        return watch({f"{count} schedules": int(daemon["pid"])}, seconds)[f"{count} schedules"][0]
    finally:
        fourfold.stop()


if __name__ == "__main__":
    raise SystemExit(main())
