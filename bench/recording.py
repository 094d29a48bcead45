"""What it costs to record the usage of 200 instances: CPU of the daemon for one look at all of them, which it takes
each minute. `python -m bench.recording [--instances 200]`
"""

from __future__ import annotations

import argparse
import shutil

from bench.contenders import Fourfold
from bench.figures import verdict
from bench.machine import ROOT, cpu_seconds, folder, need_root_and_parts
from fourfold.control.costing.metering import EVERY_SECONDS

PER_SERVICE = 20


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.recording", description=__doc__.splitlines()[0])
    parser.add_argument("--instances", type=int, default=200)
    parser.add_argument("--looks", type=int, default=50)
    options = parser.parse_args()
    need_root_and_parts()
    with folder() as base:
        files = base / "files"
        files.mkdir()
        shutil.copy(ROOT / "tests/support/services/web.py", files)
        fourfold = Fourfold(base / "fourfold")
        fourfold.folder.mkdir(mode=0o711)
        service = {"source": str(files), "run": ["python3", "web.py"], "port": 8080, "instances": PER_SERVICE}
        service |= {"deploy": {"timeout": "180s"}, "stop": {"drain": 0, "grace": 2}}
        services = {f"s{number}": service for number in range(options.instances // PER_SERVICE)}
        try:
            fourfold.start_file({"app": "bench", "services": services})
            fourfold.wait()
            look = measure(fourfold, options.looks)
        finally:
            fourfold.stop()
    print(f"{options.instances} instances: {look * 1000:.1f} ms of CPU for a look at all of them")
    return 0 if verdict("recording, % of a core", look / EVERY_SECONDS * 100, 0.2) else 1


def measure(fourfold: Fourfold, looks: int) -> float:
    """CPU seconds of a look: of asking for usage, which begins with one, beyond asking for little else."""
    daemon = fourfold.status()["daemon"]
    assert isinstance(daemon, dict)
    with fourfold.api() as api:

        def cost(path: str) -> float:
            before = cpu_seconds(daemon["pid"])
            for _ in range(looks):
                api.get(path).raise_for_status()
            return (cpu_seconds(daemon["pid"]) - before) / looks

        return cost("/v1/apps/bench/usage?service=s0") - cost("/v1/info")


if __name__ == "__main__":
    raise SystemExit(main())
