"""Cold starts of Python functions, inside the sandbox: from its start to its program's first call for an event.

One is started at a time, from those kept ready, and then as many at once as nobody keeps ready. Their programs come
from a fork server that has imported what they may share, from one that has imported nothing but the runtime client, and
from an interpreter of their own. `python -m bench.coldstart [--rounds 20] [--burst 20]`
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median

import boto3
from tests.functions.sandboxing import BRIDGE, PYTHON, Client, environment, handler, surroundings, tree

from bench.figures import table, verdict
from fourfold.functions.model import Config
from fourfold.functions.sandboxes import Sandbox, Sandboxes

PLAIN = "def handler(event, context): return event\n"
LIBRARIES = ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "urllib3", "six.py")
_MOST, _MOST_WITH_BOTO3 = 25.0, 2.0
"""Milliseconds at the median, and how many times that with boto3 imported."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.coldstart", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--burst", type=int, default=20)
    options = parser.parse_args()
    with contenders(options.burst) as given, surroundings():
        single, burst = asyncio.run(measure(given, options.rounds, options.burst))
    print(table("\nFrom start to first call, one at a time", "ms", single, "fork server"))
    print(table(f"\nThe same, {options.burst} at once", "ms", burst, "fork server"))
    held = verdict("fork server", median(single["fork server"]), _MOST)
    ratio = median(single["with boto3"]) / median(single["fork server"])
    return 0 if held & verdict("with boto3 / without", ratio, _MOST_WITH_BOTO3) else 1


@contextmanager
def contenders(concurrency: int) -> Iterator[dict[str, Config]]:
    with tree() as plain, tree() as large:
        ours = handler(plain, PLAIN, concurrency=concurrency)
        with_boto3 = handler(large, f"import boto3\n{PLAIN}", concurrency=concurrency)
        installed = Path(boto3.__file__).parents[1]
        for name in LIBRARIES:
            copy = shutil.copytree if (installed / name).is_dir() else shutil.copy
            copy(installed / name, large / name)
            (large / f"{name}.dist-info").mkdir()
            (large / f"{name}.dist-info/RECORD").write_text(f"{name}/__init__.py,,\n")
        own = (PYTHON, "-m", "awslambdaric", "app.handler")
        given = {
            "fork server": ours,
            "with boto3": with_boto3,
            "none preloaded": replace(with_boto3, preload="none"),
            "own interpreter": replace(ours, kind="provided", argv=own),
        }
        yield {
            name: replace(config, network=replace(BRIDGE, block=f"10.9.{number}.0/24"))
            for number, (name, config) in enumerate(given.items(), 1)
        }


async def measure(
    given: dict[str, Config], rounds: int, burst: int
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    opened = {name: await Sandboxes.open(config, environment()) for name, config in given.items()}
    single: dict[str, list[float]] = {name: [] for name in given}
    many: dict[str, list[float]] = {name: [] for name in given}
    try:
        for _ in range(rounds):
            for name, sandboxes in opened.items():
                await asyncio.sleep(0.2)  # so that one is ready again
                sandbox, took = await cold(sandboxes)
                single[name].append(took)
                await sandboxes.kill(sandbox)
                os.close(sandbox.output)
        for name, sandboxes in opened.items():
            started = await asyncio.gather(*(cold(sandboxes) for _ in range(burst)))
            many[name] = [took for _, took in started]
            await asyncio.gather(*(sandboxes.kill(sandbox) for sandbox, _ in started))
            for sandbox, _ in started:
                os.close(sandbox.output)
    finally:
        for sandboxes in opened.values():
            await sandboxes.close()
    return single, many


async def cold(sandboxes: Sandboxes) -> tuple[Sandbox, float]:
    began = time.perf_counter()
    sandbox = await sandboxes.start()
    client = await Client.of(sandbox)
    took = time.perf_counter() - began
    client.close()
    return sandbox, took * 1000


if __name__ == "__main__":
    raise SystemExit(main())
