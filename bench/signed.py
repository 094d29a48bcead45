"""Signed invocations through Lambda's API: one after the other, as many as go, and 1,000 at once, from one generator.

`python -m bench.signed [--seconds 5] [--connections 8]`. The function is one of Python that gives its event back, made
by boto3; signatures are made once, as they hold for five minutes: what is measured is the daemon's side.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import subprocess
import sys
import time
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any, cast

import boto3
import httptools
import uvloop
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from tests.support.netns import INSIDE
from tests.support.wait import until

from bench.figures import verdict
from bench.machine import end, folder, need_root_and_parts, processes_of

CODE = "def handler(event, context):\n    return event\n"
EVENT = b'{"key1": "value1", "key2": "value2", "key3": "value3"}'
BURST = 1000
PROMISED = 1000
"""Per second."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.signed", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--connections", type=int, default=8)
    options = parser.parse_args()
    need_root_and_parts()
    if not os.environ.get(INSIDE):
        again = [sys.executable, "-m", "tests.support.netns", "--", sys.executable, "-m", "bench.signed"]
        return subprocess.run([*again, *sys.argv[1:]]).returncode
    with folder() as base:
        home = base / "home"
        daemon = subprocess.Popen(
            [sys.executable, "-m", "fourfold.daemon"],
            env=os.environ | {"FOURFOLD_HOME": str(home)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            return measure(home, options.seconds, options.connections)
        finally:
            end([daemon.pid])  # it would start another spawner
            end(processes_of(home))


def measure(home: Path, seconds: float, connections: int) -> int:
    url = f"http://127.0.0.1:{until(lambda: listens(home), 30, 'the daemon to answer')}"
    request = make(url, home)
    warm = Load(url, request, connections)
    uvloop.run(warm.run(1))
    alone = Load(url, request, 1)
    uvloop.run(alone.run(seconds))
    together = Load(url, request, connections)
    uvloop.run(together.run(seconds))
    burst = Load(url, request, BURST)
    took = uvloop.run(burst.run(0))
    print(f"one after the other: median {alone.at(0.5):.2f} ms, 99 % within {alone.at(0.99):.2f} ms")
    rate = len(together.times) / seconds
    print(f"{connections} at once: {rate:.0f} per second, median {together.at(0.5):.2f} ms, {dict(together.ends)}")
    print(f"{BURST} at once: {dict(burst.ends)}, after {took:.2f} s")
    held = [
        verdict("signed invocations per second", rate, PROMISED, at_least=True),
        verdict("of the burst: answered, or refused with 429", burst.ends[200] + burst.ends[429], BURST, at_least=True),
        verdict("others than 200", together.ends.total() - together.ends[200], 0),
    ]
    return 0 if all(held) else 1


def listens(home: Path) -> int:
    """The port of Lambda's API, from `fourfold daemon status`."""
    told = subprocess.run(
        [sys.executable, "-m", "fourfold", "daemon", "status", "-o", "json"],
        env=os.environ | {"FOURFOLD_HOME": str(home)},
        capture_output=True,
        check=True,
    ).stdout
    return int(json.loads(told)["lambda_api"].rpartition(":")[2])


def make(url: str, home: Path) -> bytes:
    """The function, and a signed request that invokes it."""
    pair = json.loads((home / "lambda-keys.json").read_text())
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("app.py", CODE)
    client: Any = boto3.client("lambda", endpoint_url=url, region_name="us-east-1", **pair)
    client.create_function(
        FunctionName="echo", Runtime="python3.11", Handler="app.handler", Code={"ZipFile": code.getvalue()},
        Role="arn:aws:iam::000000000000:role/any", MemorySize=1769,
    )  # fmt: skip
    client.get_waiter("function_active_v2").wait(FunctionName="echo", WaiterConfig={"Delay": 1})
    path = "/2015-03-31/functions/echo/invocations"
    signed = AWSRequest("POST", url + path, data=EVENT)
    signer: Any = SigV4Auth(Credentials(*pair.values()), "lambda", "us-east-1")
    signer.add_auth(signed)
    headers = "".join(f"{name}: {value}\r\n" for name, value in signed.headers.items())
    host = url.removeprefix("http://")
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\n{headers}Content-Length: {len(EVENT)}\r\n\r\n"
    return head.encode() + EVENT


class Load:
    """`count` connections, each of which asks again as soon as it was answered."""

    def __init__(self, url: str, request: bytes, count: int) -> None:
        self._port = int(url.rpartition(":")[2])
        self.request = request
        self._count = count
        self.times: list[float] = []
        self.ends: Counter[int] = Counter()
        self.until = 0.0

    async def run(self, seconds: float) -> float:
        """0: each asks once. -> how long it took."""
        loop = asyncio.get_running_loop()
        began = time.perf_counter()
        self.until = began + seconds
        made = [await loop.create_connection(lambda: Asking(self), "127.0.0.1", self._port) for _ in range(self._count)]
        await asyncio.wait_for(asyncio.gather(*(asking.ended for _, asking in made)), seconds + 60)
        return time.perf_counter() - began

    def at(self, share: float) -> float:
        """Milliseconds within which that share was answered."""
        return sorted(self.times)[int(len(self.times) * share)] * 1000


class Asking(asyncio.Protocol):
    def __init__(self, load: Load) -> None:
        self._load = load
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._parser = httptools.HttpResponseParser(self)
        self._ask()

    def _ask(self) -> None:
        self._asked = time.perf_counter()
        self._transport.write(self._load.request)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        now = time.perf_counter()
        self._load.times.append(now - self._asked)
        self._load.ends[self._parser.get_status_code()] += 1
        if now < self._load.until:
            self._ask()
        else:
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None)


if __name__ == "__main__":
    raise SystemExit(main())
