"""Invoking a function that is warm: what it adds to the handler's own time, how many a second, and 1,000 at once.

The peers are aws-lambda-rie, which takes one event at a time, and serverless-offline; the handler and, but for
serverless-offline, the runtime client (awslambdaric) are the same. `python -m bench.invoke [--rounds 5] [--seconds 4]`
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Coroutine, Sequence
from statistics import median
from typing import Any, TypeVar, cast

import httptools
import uvloop

from bench.figures import table, verdict
from bench.functions import HANDLER, Emulator, Ours, Runner, ServerlessOffline, inside
from bench.machine import folder, need_root_and_parts

BARE = f"""{HANDLER}
import json, sys, time
event = json.loads('{{"key1": "value1", "key2": "value2", "key3": "value3"}}')
began = time.perf_counter()
for _ in range(10000):
    handler(event, None)
print((time.perf_counter() - began) / 10)
"""
BURST = 1000
T = TypeVar("T")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.invoke", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4)
    options = parser.parse_args()
    need_root_and_parts()
    ServerlessOffline.install()
    if (code := inside("bench.invoke", sys.argv[1:])) is not None:
        return code
    with folder() as base:
        runners: list[Runner] = [
            Ours(base / "fourfold"), Emulator(base / "emulator"), ServerlessOffline(base / "serverless"),
        ]  # fmt: skip
        try:
            for runner in runners:
                runner.start()
            return compare(runners, options.rounds, options.seconds)
        finally:
            for runner in runners:
                runner.stop()


def compare(runners: Sequence[Runner], count: int, seconds: float) -> int:
    bare = float(subprocess.run([sys.executable, "-c", BARE], capture_output=True, text=True, check=True).stdout)
    latencies: dict[str, list[float]] = {runner.name: [] for runner in runners}
    rates: dict[str, list[float]] = {runner.name: [] for runner in runners}
    for number in range(-1, count):
        for runner in runners if number % 2 else reversed(runners):
            latency = in_loop(latency_of(runner, seconds))
            rate = in_loop(rate_of(runner, seconds))
            if number >= 0:  # the round before the first is to warm up
                latencies[runner.name].append(latency)
                rates[runner.name].append(rate)
                print(f"round {number + 1}: {runner.name}: {latency:.3f} ms, {rate:.0f}/s", flush=True)
    print(table("One event after the other, warm", "ms, the median of a round", latencies))
    print(table("Events", "per second", rates))
    bursts = {runner.name: in_loop(burst_of(runner, BURST)) for runner in runners}
    for name, (ends, took) in bursts.items():
        told = ", ".join(f"{count} {what}" for what, count in sorted(ends.items()))
        print(f"{BURST} at once: {name:<18} {told}, after {took:.2f} s")
    ours, _ = bursts["fourfold"]
    held = [
        verdict("added to the handler's own time, ms", median(latencies["fourfold"]) - bare, 1),
        verdict("events per second", median(rates["fourfold"]), 2000, at_least=True),
        verdict(f"answered or refused with 429, of {BURST} at once", ours["200"] + ours["429"], BURST, at_least=True),
    ]
    return 0 if all(held) else 1


def in_loop(work: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


async def latency_of(runner: Runner, seconds: float) -> float:
    """Milliseconds."""
    client = Client(runner)
    taken = []
    until = time.perf_counter() + seconds / 2
    while (began := time.perf_counter()) < until:
        await client.ask()
        taken.append(time.perf_counter() - began)
    client.close()
    return median(taken) * 1000


async def rate_of(runner: Runner, seconds: float) -> float:
    done = 0
    until = time.perf_counter() + seconds

    async def one() -> None:
        nonlocal done
        client = Client(runner)
        while time.perf_counter() < until:
            await client.ask()
            done += 1
        client.close()

    began = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(runner.at_once)))
    return done / (time.perf_counter() - began)


async def burst_of(runner: Runner, count: int) -> tuple[Counter[str], float]:
    """How they ended: by status, or `lost`."""

    async def one() -> str:
        client = Client(runner)
        try:
            return str(await asyncio.wait_for(client.ask(check=False), 60))
        except (OSError, TimeoutError):
            return "lost"
        finally:
            client.close()

    began = time.perf_counter()
    ends = Counter(await asyncio.gather(*(one() for _ in range(count))))
    return ends, time.perf_counter() - began


class Client:
    """One request after the other; the connection is kept if the other side keeps it."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._connection: Connection | None = None

    async def ask(self, check: bool = True) -> int:
        """-> status. Raises OSError; RuntimeError, with `check`, for any but 200."""
        if self._connection is None or self._connection.closed:
            self._connection = await self._connect()
        status = await self._connection.ask(self._runner.request())
        if check and status != 200:
            raise RuntimeError(f"{self._runner.name} answered with {status}")
        return status

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        if isinstance(self._runner.address, int):
            _, made = await loop.create_connection(Connection, "127.0.0.1", self._runner.address)
        else:
            _, made = await loop.create_unix_connection(Connection, self._runner.address)
        return made

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()


class Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[int] | None = None
        self.closed = False

    async def ask(self, request: bytes) -> int:
        self._waiter = asyncio.get_running_loop().create_future()
        assert self._transport is not None
        self._transport.write(request)
        return await self._waiter

    def close(self) -> None:
        self.closed = True
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(ConnectionResetError("closed without an answer"))

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        if not self._parser.should_keep_alive():
            self.close()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(self._parser.get_status_code())


if __name__ == "__main__":
    raise SystemExit(main())
