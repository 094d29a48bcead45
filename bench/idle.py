"""What it costs to watch over 200 instances when nothing changes: CPU and memory of the daemon and the spawner.

The peer is supervisord with the same 200 programs, which does not probe them. `python -m bench.idle [--instances 200]`
"""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from bench.contenders import Fourfold, Program, Supervisord
from bench.figures import verdict
from bench.machine import (
    ROOT,
    cpu_seconds,
    folder,
    free_ports,
    need_root_and_parts,
    resident_bytes,
    seconds_until_all_answer,
)

PER_SERVICE = 20
MIB = 1024 * 1024


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.idle", description=__doc__.splitlines()[0])
    parser.add_argument("--instances", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=30)
    options = parser.parse_args()
    need_root_and_parts()
    Supervisord.install()
    with folder() as base:
        files = base / "files"
        files.mkdir()
        shutil.copy(ROOT / "tests/support/services/web.py", files)
        print(f"{options.instances} instances at rest for {options.seconds:.0f} s")
        ours = watch_fourfold(base, files, options.instances, options.seconds)
        theirs = watch_supervisord(base, files, options.instances, options.seconds)
    daemon, peer = ours["fourfold daemon"], theirs["supervisord"]
    print(f"  ours / supervisord   {daemon[0] / max(peer[0], 0.01):6.2f}               {daemon[1] / peer[1]:7.2f}")
    held = [
        verdict("daemon, % of a core", daemon[0], 2),
        verdict("daemon, MiB", daemon[1] / MIB, 120),
        verdict("spawner, MiB", ours["fourfold spawner"][1] / MIB, 20),
    ]
    return 0 if all(held) else 1


def watch_fourfold(base: Path, files: Path, instances: int, seconds: float) -> dict[str, tuple[float, int]]:
    fourfold = Fourfold(base / "fourfold")
    fourfold.folder.mkdir(mode=0o711)
    service = {
        "source": str(files),
        "run": ["python3", "web.py"],
        "port": 8080,
        "health": {"path": "/healthz"},
        "instances": PER_SERVICE,
        "deploy": {"timeout": "180s"},
        "stop": {"drain": 0, "grace": 2},
    }
    services = {f"s{number}": service for number in range(instances // PER_SERVICE)}
    try:
        fourfold.start_file({"app": "bench", "services": services})
        fourfold.wait()
        daemon = fourfold.status()["daemon"]
        assert isinstance(daemon, dict)
        return watch({"fourfold daemon": int(daemon["pid"]), "fourfold spawner": fourfold.spawner()}, seconds)
    finally:
        fourfold.stop()


def watch_supervisord(base: Path, files: Path, instances: int, seconds: float) -> dict[str, tuple[float, int]]:
    peer = Supervisord(base / "supervisord")
    programs = [Program(f"s{port}", port, ("python3", "web.py"), files) for port in free_ports(instances)]
    try:
        peer.start(programs)
        seconds_until_all_answer([program.port for program in programs], time.monotonic())
        assert peer.process is not None
        return watch({"supervisord": peer.process.pid}, seconds)
    finally:
        peer.stop()


def watch(pids: Mapping[str, int], seconds: float) -> dict[str, tuple[float, int]]:
    """Name -> (% of one core over `seconds`, resident bytes). First lets the start's echo die down."""
    time.sleep(10)
    before = {name: cpu_seconds(pid) for name, pid in pids.items()}
    time.sleep(seconds)
    found = {
        name: ((cpu_seconds(pid) - before[name]) / seconds * 100, resident_bytes(pid)) for name, pid in pids.items()
    }
    for name, (percent, resident) in found.items():
        print(f"  {name:<20} {percent:6.2f} % of a core   {resident / MIB:7.1f} MiB", flush=True)
    return found


if __name__ == "__main__":
    raise SystemExit(main())
