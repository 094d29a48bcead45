"""The load generator of `fourfold compare`: how exact, and how much, beside wrk.

`python -m bench.load [--seconds 5]`. The server answers at once, in a process of its own; what it takes is the same for
both. wrk is Debian's, where it is installed.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import shutil
import subprocess
import sys
from typing import cast

import uvloop

from bench.figures import table, verdict
from fourfold.control.comparing.generator import Generator
from fourfold.load.model import Plan, Report, Request

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CLIENTS = 32
RATE = 1000.0


class Server(asyncio.Protocol):
    """One answer for each read: nobody here sends the next request before the last was answered."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._transport.write(ANSWER)


async def serve() -> None:
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def asked(port: int, rate: float | None, seconds: float) -> Report:
    async with Generator() as generator:
        return await generator.run(Plan("127.0.0.1", port, (Request(),), rate, seconds, CLIENTS))


def wrk(port: int, seconds: float) -> float | None:
    """Requests a second; None: it is not installed."""
    if shutil.which("wrk") is None:
        return None
    command = ["wrk", "-t1", f"-c{CLIENTS}", f"-d{seconds:g}s", f"http://127.0.0.1:{port}/"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"Requests/sec:\s+([\d.]+)", said)
    return float(found[1]) if found else None


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.load", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        uvloop.run(serve())
        return 0
    with subprocess.Popen([sys.executable, "-m", "bench.load", "--serve"], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            return measure(int(server.stdout.readline()), options.seconds)
        finally:
            server.terminate()


def measure(port: int, seconds: float) -> int:
    at_rate = asyncio.run(asked(port, RATE, seconds))
    most = asyncio.run(asked(port, None, seconds))
    rounds = {"fourfold": [most.good_per_second]}
    if (theirs := wrk(port, seconds)) is not None:
        rounds["wrk"] = [theirs]
    print(table(f"answers, {CLIENTS} clients", "per second", rounds))
    half, most_of = (at_rate.p50 or 0.0) * 1e6, (at_rate.p99 or 0.0) * 1e6
    print(f"at {RATE:g} a second: half within {half:.0f} µs, 99 % within {most_of:.0f} µs")
    held = [
        verdict("late with a hundredth of the requests, ms", at_rate.late * 1000, 1),
        verdict("CPU of a request as fast as they go, µs", most.cpu_seconds / most.requests * 1e6, 30),
        verdict("answers a second", most.good_per_second, 20_000, at_least=True),
    ]
    return 0 if all(held) else 1


if __name__ == "__main__":
    raise SystemExit(main())
