"""What sharing a process saves: memory of small web apps in one group, as processes, and in containers.

Ten apps of one language (a servlet in a WAR, Express, FastAPI), each of its own source, are brought up under one
pattern, and answer some requests at the same time; a second later their memory is measured: the proportional set size
(PSS, proc(5)) of their processes, hosts included. Pages that several have are divided among them, so that nothing is
counted twice. The daemon and the gateway, the same under each pattern, are left out. Everything runs with the options
that Fourfold gives it: in a group, workers of Node.js have V8's `--optimize-for-size`, processes and containers V8's
own defaults. In a network namespace of its own, which containers need.

`python -m bench.sharing [--apps 10] [--requests 2000] [--languages java,node,python]`
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.support.load import Load

from bench.contenders import Fourfold
from bench.figures import table
from bench.machine import folder, need_root_and_parts, with_descendants
from bench.webapps import LANGUAGES, Language, group, service

PATTERNS = ("shared", "process", "container")
TITLES = {"shared": "shared", "process": "processes", "container": "containers"}
IN_ITS_OWN_NETWORK = "FOURFOLD_BENCH_NETWORK"
AT_REST = 1.0
"""Seconds after the last request. After some ten, runtimes begin to give memory back, at their leisure."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.sharing", description=__doc__.splitlines()[0])
    parser.add_argument("--apps", type=int, default=10)
    parser.add_argument("--requests", type=int, default=2000, help="to each app")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--languages", default=",".join(LANGUAGES))
    options = parser.parse_args()
    need_root_and_parts()
    if IN_ITS_OWN_NETWORK not in os.environ:
        os.environ[IN_ITS_OWN_NETWORK] = "1"
        os.execv(sys.executable, [sys.executable, "-m", "tests.support.netns", "--", sys.executable, "-m",
                                  "bench.sharing", *sys.argv[1:]])  # fmt: skip
    with folder() as base:
        fourfold = Fourfold(base / "fourfold")
        try:
            fourfold.prepare()
            tables = [
                measure(fourfold, LANGUAGES[name], options.apps, options.requests, options.rounds)
                for name in options.languages.split(",")
            ]
        finally:
            fourfold.stop()
    print("\n\n".join(tables))
    return 0


def measure(fourfold: Fourfold, language: Language, apps: int, requests: int, rounds: int) -> str:
    """The table of one language."""
    names = [f"app{number}" for number in range(apps)]
    sources = fourfold.folder / language.kind
    sources.mkdir()
    for name in names:
        language.write(sources / name, name, "1")
    found: dict[str, list[float]] = {TITLES[pattern]: [] for pattern in PATTERNS}
    for _ in range(rounds):
        for pattern in PATTERNS:
            with running(fourfold, language, sources, names, pattern):
                ask(fourfold.gateway, names, requests)
                time.sleep(AT_REST)
                taken = memory(fourfold) / 1024**2
            found[TITLES[pattern]].append(taken)
            print(f"{language.name}, {TITLES[pattern]}: {taken:.0f} MiB", flush=True)
    title = f"{apps} {language.name} apps after {requests} requests each"
    return table(title, "MiB", found, ours="shared")


@contextlib.contextmanager
def running(fourfold: Fourfold, language: Language, sources: Path, names: list[str], pattern: str) -> Iterator[None]:
    services = {name: service(language, sources, name, pattern) for name in names}
    groups = {"groups": {"apps": group(language)}}  # not brought up where no service needs it
    try:
        fourfold.start_file({"app": "bench", **groups, "services": services})
        fourfold.wait()
        yield
    finally:
        fourfold.command("down", "-a", "bench", "--purge", "-y")


def ask(port: int, names: Sequence[str], requests: int) -> None:
    """All at the same time, so that none has been idle for longer than the others."""
    loads = {
        name: Load(f"http://127.0.0.1:{port}/{name}", connections=2, keep_alive=1.0, max_requests=requests)
        for name in names
    }
    with contextlib.ExitStack() as held:
        for load in loads.values():
            held.enter_context(load)
        for name, load in loads.items():
            report = load.wait()
            if report.failed or report.ok != requests:
                raise RuntimeError(f"{name}: {report}")


def memory(fourfold: Fourfold) -> int:
    """Bytes of all instances and what they have started."""
    services = fourfold.status()["services"]
    assert isinstance(services, list)
    pids = {int(each["pid"]) for service in services for each in service["instances"] if each["pid"]}
    return sum(proportional_bytes(pid) for pid in with_descendants(sorted(pids)))


def proportional_bytes(pid: int) -> int:
    """proc(5), /proc/PID/smaps_rollup."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


if __name__ == "__main__":
    raise SystemExit(main())
