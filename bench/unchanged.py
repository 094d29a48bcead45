"""`fourfold up` again, with nothing changed in a source of 50 MB: what packing, offering and building then cost.

No peer does this work apart; the limit is 0.2 s for all three. `python -m bench.unchanged [--files 2000] [--rounds 5]`
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import time
from pathlib import Path
from statistics import median

from bench.contenders import Fourfold
from bench.figures import verdict
from bench.machine import ROOT, folder, need_root_and_parts
from fourfold.build.build import Builder, BuildRequest
from fourfold.build.pack import pack
from fourfold.cli.link.client import Client
from fourfold.cli.link.endpoint import local
from fourfold.clock import SystemClock
from fourfold.paths import Paths
from fourfold.spec.model import Service

SIZE = 50_000_000
LIMIT = 0.2
RUN = ["python3", "web.py"]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.unchanged", description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    need_root_and_parts()
    with folder() as base:
        source = base / "source"
        write(source, options.files)
        fourfold = Fourfold(base / "fourfold")
        fourfold.folder.mkdir(mode=0o711)
        try:
            print(f"A source of {SIZE // 1_000_000} MB in {options.files} files (seconds, median of {options.rounds})")
            print(f"  first `up`, with an empty store   {up(fourfold, source):.3f}")
            whole = [up(fourfold, source) for _ in range(options.rounds)]
            held = parts(Paths.find(environ(fourfold), os.geteuid()), environ(fourfold), source, options.rounds)
            print(f"  all of `fourfold up` again        {median(whole):.3f}")
        finally:
            fourfold.stop()
    return 0 if held else 1


def write(source: Path, files: int) -> None:
    for number in range(files):
        place = source / f"data{number % 20}" / f"{number}.bin"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(os.urandom(SIZE // files))
    shutil.copy(ROOT / "tests/support/services/web.py", source)


def environ(fourfold: Fourfold) -> dict[str, str]:
    return {"FOURFOLD_HOME": str(fourfold.folder / "home")}


def up(fourfold: Fourfold, source: Path) -> float:
    began = time.perf_counter()
    fourfold.start_file(
        {"app": "bench", "services": {"web": {"source": str(source), "run": RUN, "port": 8080, "stop": {"drain": 0}}}}
    )
    fourfold.wait()
    return time.perf_counter() - began


def parts(paths: Paths, environ: dict[str, str], source: Path, rounds: int) -> bool:
    """As the command and the daemon do it, the daemon's part of `build` in this process."""
    client, builder = Client(local(paths.socket)), Builder(paths, SystemClock())
    spec = Service.model_validate({"source": str(source), "run": RUN, "port": 8080})
    rows = [one_round(client, builder, spec, source, environ) for _ in range(rounds + 1)]
    times = zip(("pack", "offer", "build"), zip(*rows[1:], strict=True), strict=True)  # the first looks for runtimes
    medians = {name: median(values) for name, values in times}
    for name, seconds in medians.items():
        print(f"  {name:<33} {seconds:.3f}")
    return verdict("pack, offer and build", sum(medians.values()), LIMIT)


def one_round(
    client: Client, builder: Builder, spec: Service, source: Path, environ: dict[str, str]
) -> tuple[float, float, float]:
    began = time.perf_counter()
    packed = pack(source, environ=environ)
    is_packed = time.perf_counter()
    answer = client.post("/v1/sources", packed.manifest.as_json())
    assert answer["missing"] == [], "it was sent before"
    is_offered = time.perf_counter()
    asyncio.run(builder.build(BuildRequest("bench", "web", spec, packed.manifest.digest), no_log))
    return is_packed - began, is_offered - is_packed, time.perf_counter() - is_offered


def no_log(line: str) -> None:
    raise AssertionError(f"it was built again: {line}")


if __name__ == "__main__":
    raise SystemExit(main())
