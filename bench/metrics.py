"""How long `GET /metrics` takes with 200 instances, and what the daemon's clients wait for meanwhile.

`python -m bench.metrics [--instances 200] [--rounds 30]`
"""

from __future__ import annotations

import argparse
import shutil
import time
from pathlib import Path
from statistics import median

from bench.contenders import Fourfold
from bench.figures import verdict
from bench.machine import ROOT, folder, need_root_and_parts

PER_SERVICE = 20
MOST_MS = 50


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.metrics", description=__doc__.splitlines()[0])
    parser.add_argument("--instances", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()
    need_root_and_parts()
    with folder() as base:
        files = base / "files"
        files.mkdir()
        shutil.copy(ROOT / "tests/support/services/web.py", files)
        took, cpu, size = measure(base, files, options.instances, options.rounds)
    print(f"GET /metrics with {options.instances} instances: {size / 1024:.0f} KiB, {options.rounds} times")
    print(f"  median {median(took):.1f} ms, worst {max(took):.1f} ms; CPU of the daemon {cpu:.1f} ms each")
    return 0 if verdict("median, ms", median(took), MOST_MS) else 1


def measure(base: Path, files: Path, instances: int, rounds: int) -> tuple[list[float], float, int]:
    """Milliseconds of each scrape, the daemon's CPU time for one, and bytes of the last."""
    fourfold = Fourfold(base / "fourfold")
    fourfold.folder.mkdir(mode=0o711)
    service = {
        "source": str(files),
        "run": ["python3", "web.py"],
        "port": 8080,
        "health": {"path": "/healthz", "interval": "10s"},
        "instances": PER_SERVICE,
        "deploy": {"timeout": "180s"},
        "stop": {"drain": 0, "grace": 2},
    }
    count = max(instances // PER_SERVICE, 1)
    try:
        services = {f"web{number}": service | {"route": {"path": f"/web{number}"}} for number in range(count)}
        fourfold.start_file({"app": "bench", "services": services})
        fourfold.wait()
        with fourfold.api() as api:
            before = cpu_of(api.get("/metrics").raise_for_status().text)
            took = []
            for _ in range(rounds):
                begun = time.perf_counter()
                answer = api.get("/metrics").raise_for_status()
                took.append((time.perf_counter() - begun) * 1000)
        assert answer.text.count("\nfourfold_instance_cpu_seconds_total") == count * PER_SERVICE + 1
        return took, (cpu_of(answer.text) - before) / rounds * 1000, len(answer.content)
    finally:
        fourfold.stop()


def cpu_of(metrics: str) -> float:
    """Seconds that the daemon has taken."""
    return float(metrics.partition("\nprocess_cpu_seconds_total ")[2].partition("\n")[0])


if __name__ == "__main__":
    raise SystemExit(main())
