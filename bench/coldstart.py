"""Cold starts of functions as our builder makes them, in real sandboxes: from the start to the first call for an event.

Python starts from a fork server that has imported what sandboxes may share, with and without boto3; Node.js and Java
start their interpreters. Then the same from the pool: how long after an event was sent its handler begins, in a
sandbox that was kept ready (`provisioned`) and has had no event before. Beside ours: Python from a fork server without
modules, and from an interpreter of its own. `python -m bench.coldstart [--rounds 20] [--burst 20]`
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from tests.build.building import build
from tests.build.helpers import Home, write
from tests.functions.sandboxing import BRIDGE, Client, config, own_groups, surroundings

from bench.figures import table, verdict
from bench.machine import folder
from fourfold.functions import environment
from fourfold.functions.__main__ import site
from fourfold.functions.client import FunctionGone, Invokers
from fourfold.functions.model import CONFIG, PREFIX, Config, Invocation
from fourfold.functions.sandboxes import Sandbox, Sandboxes

PYTHON = """import os, time
def handler(event, context):
    if event == "end": os._exit(0)
    return time.time() * 1000
"""
NODE = """exports.handler = async (event) => {
  if (event === 'end') process.exit(0);
  return performance.timeOrigin + performance.now();
};
"""
JAVA = """public class Bench {
    public double handle(Object event) {
        if ("end".equals(event)) Runtime.getRuntime().halt(0);
        java.time.Instant now = java.time.Instant.now();
        return now.getEpochSecond() * 1000.0 + now.getNano() / 1e6;
    }
}
"""
MOST = {"python": 25.0, "nodejs": 150.0, "java": 250.0}
"""Milliseconds at the median."""
MOST_WITH_BOTO3 = 2.0
"""Times as long as without."""
MOST_FROM_POOL = 10.0
MEMORY = 512 * 1024 * 1024


@dataclass(frozen=True)
class Contender:
    config: Config
    variables: Mapping[str, str]

    def environment(self) -> dict[str, str]:
        return environment.of_sandboxes(self.config, self.variables, "2026/01/01", site(self.config))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.coldstart", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--burst", type=int, default=20)
    options = parser.parse_args()
    with folder() as base:
        ours = built(base, max(options.burst, 2))
        others = beside(ours)
        with surroundings():
            single, burst = asyncio.run(measure(ours | others, options.rounds, options.burst))
            pool = {name: asyncio.run(from_pool(base, each, options.rounds)) for name, each in ours.items()}
    print(table("\nFrom start to first call, one at a time", "ms", single, ours=""))
    print(table(f"\nThe same, {options.burst} at once", "ms", burst, ours=""))
    print(table("\nFrom the pool, from event to handler", "ms", pool, ours=""))
    held = [verdict(f"{name}, ms", median(single[name]), most) for name, most in MOST.items()]
    held.append(verdict("with boto3 / without", median(single["boto3"]) / median(single["python"]), MOST_WITH_BOTO3))
    held += [verdict(f"{name} from the pool, ms", median(pool[name]), MOST_FROM_POOL) for name in pool]
    return 0 if all(held) else 1


def built(base: Path, concurrency: int) -> dict[str, Contender]:
    """Of each runtime, by the builder that `fourfold up` has."""
    home = Home(base / "home")
    boto3 = {"app.py": f"import boto3\n{PYTHON}", "requirements.txt": "boto3\n"}
    sources: dict[str, tuple[dict[str, str], str]] = {
        "python": ({"app.py": PYTHON}, "app.handler"),
        "boto3": (boto3, "app.handler"),
        "nodejs": ({"index.js": NODE}, "index.handler"),
        "java": ({}, "Bench::handle"),
    }
    made = {}
    for number, (name, (files, handler)) in enumerate(sources.items(), 1):
        source = write(base / name, files)
        if name == "java":
            jar(write(base / "classes", {"Bench.java": JAVA}), source / "bench.jar")
        artifact = build(home, source, name, pattern="function", function={"handler": handler})
        function = artifact.function
        assert function is not None
        given = config(
            artifact.tree, *function.argv, kind=function.kind, handler=handler, memory=MEMORY, concurrency=concurrency,
            network=replace(BRIDGE, block=f"10.9.{number}.0/24"), socket=str(base / f"{name}.sock"),
            usage=str(base / "usage"), function_name=name,
        )  # fmt: skip
        made[name] = Contender(given, function.env)
    return made


def jar(classes: Path, target: Path) -> None:
    subprocess.run(["javac", "-d", classes / "out", classes / "Bench.java"], check=True)
    subprocess.run(["jar", "--create", "--file", target, "-C", classes / "out", "."], check=True)


def beside(ours: Mapping[str, Contender]) -> dict[str, Contender]:
    """What the same functions would take otherwise."""
    plain, large = ours["python"], ours["boto3"]
    argv = (*plain.config.argv, "-m", "awslambdaric", plain.config.handler)
    path = environment.python_path("", "")
    own = replace(plain.config, kind="provided", argv=argv, network=replace(BRIDGE, block="10.9.8.0/24"))
    none = replace(large.config, preload="none", network=replace(BRIDGE, block="10.9.9.0/24"))
    return {
        "boto3, nothing preloaded": Contender(none, large.variables),
        "python, own interpreter": Contender(own, {**plain.variables, "PYTHONPATH": path}),
    }


async def measure(
    given: Mapping[str, Contender], rounds: int, burst: int
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    single: dict[str, list[float]] = {name: [] for name in given}
    many: dict[str, list[float]] = {}
    async with AsyncExitStack() as stack:
        opened = {}
        for name, each in given.items():
            stack.enter_context(own_groups())  # as each invoker has
            opened[name] = await Sandboxes.open(each.config, each.environment())
            stack.push_async_callback(opened[name].close)
        for number in range(-1, rounds):
            for name, sandboxes in opened.items():
                await asyncio.sleep(0.2)  # so that namespaces are ready again
                sandbox, took = await cold(sandboxes)
                if number >= 0:  # the round before the first is to have files in memory
                    single[name].append(took)
                await sandboxes.kill(sandbox)
                os.close(sandbox.output)
        for name, sandboxes in opened.items():
            started = await asyncio.gather(*(cold(sandboxes) for _ in range(burst)))
            many[name] = [took for _, took in started]
            await asyncio.gather(*(sandboxes.kill(sandbox) for sandbox, _ in started))
            for sandbox, _ in started:
                os.close(sandbox.output)
    return single, many


async def cold(sandboxes: Sandboxes) -> tuple[Sandbox, float]:
    began = time.perf_counter()
    sandbox = await sandboxes.start()
    client = await Client.of(sandbox)
    took = time.perf_counter() - began
    client.close()
    return sandbox, took * 1000


async def from_pool(base: Path, contender: Contender, rounds: int) -> list[float]:
    """Milliseconds, through the invoker that the daemon starts."""
    given = replace(contender.config, provisioned=1, concurrency=2)
    variables = {PREFIX + name: value for name, value in contender.variables.items()}
    environ = {"PATH": os.environ["PATH"], CONFIG: given.to_json(), **variables}
    with (base / "log").open("wb") as log:
        command = (sys.executable, "-I", "-m", "fourfold.functions")
        invoker = await asyncio.create_subprocess_exec(*command, env=environ, stdout=log, stderr=log)
    invokers = Invokers()
    took = []
    try:
        for number in range(-1, rounds):
            await until_frozen(invokers, given.socket)
            began = time.time() * 1000
            answer = await invokers.invoke(given.socket, Invocation(b"{}", str(uuid.uuid4())))
            if number >= 0:
                took.append(float(json.loads(answer.payload)) - began)
            await invokers.invoke(given.socket, Invocation(b'"end"', str(uuid.uuid4())))
    finally:
        invokers.close()
        invoker.terminate()
        await invoker.wait()
    return took


async def until_frozen(invokers: Invokers, socket: str) -> None:
    """As one is that has waited for a while."""
    state: Any = None
    for _ in range(3000):
        with suppress(FunctionGone):  # it does not listen yet
            state = await invokers.state(socket)
        if state is not None and state["sandboxes"] == {"frozen": 1}:
            return
        await asyncio.sleep(0.01)
    raise RuntimeError(f"no sandbox is kept ready: {state}")


if __name__ == "__main__":
    raise SystemExit(main())
