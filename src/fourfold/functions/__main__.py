"""The invoker of one function: `python -I -m fourfold.functions`, told by FOURFOLD_FUNCTION what to run.

SIGTERM: it takes no more events, answers those that it has, and ends. Exit code 1: the function did not start.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import resource
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path

import uvloop

from fourfold.functions import environment
from fourfold.functions.endpoints import DaemonSide, HttpSide
from fourfold.functions.http import Site
from fourfold.functions.invocation import Surroundings
from fourfold.functions.invoker import InitError, Invoker
from fourfold.functions.journal import Journal
from fourfold.functions.logs import Output
from fourfold.functions.model import CONFIG, TEMPLATE, Config
from fourfold.functions.sandboxes import SandboxError, Sandboxes

BACKLOG = 4096
"""Connections that may wait to be accepted: a burst comes all at once."""


GOODBYE = 5.0
"""Seconds for clients to read their last answers."""
Opener = Callable[[Config, Mapping[str, str]], Awaitable[Sandboxes]]


def main() -> int:
    if (text := os.environ.pop(CONFIG, None)) is None:
        print(f"cannot run a function: {CONFIG} is not set\nhint: `fourfold up` starts invokers", file=sys.stderr)
        return 2
    config = Config.from_json(text)
    if config.machine is not None:
        config = replace(config, machine=replace(config.machine, template=os.environ.pop(TEMPLATE, "")))
    config = replace(config, function_name=config.function_name or f"{config.app}-{config.service}")
    _have_outputs()
    _many_connections()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(run(config, environment.own(os.environ)))


async def run(config: Config, variables: Mapping[str, str], open_sandboxes: Opener = Sandboxes.open) -> int:
    output = Output(1, asyncio.get_running_loop())
    try:
        return await _run(config, variables, output, open_sandboxes)
    finally:
        output.close()


async def _run(config: Config, variables: Mapping[str, str], output: Output, open_sandboxes: Opener) -> int:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    env = environment.of_sandboxes(config, variables, time.strftime("%Y/%m/%d", time.gmtime()), site(config))
    try:
        journal = Journal(config.usage, f"{config.instance}-{int(time.time() * 1000)}-{os.getpid()}")
        sandboxes = await open_sandboxes(config, env)
    except (SandboxError, OSError) as error:
        return _failed(output, config, str(error))
    invoker = Invoker(Surroundings(config, loop, sandboxes, output, journal, time.time, time.monotonic))
    try:
        return await serve(config, invoker, sandboxes, output, stop)
    finally:
        await invoker.close()
        await sandboxes.close()
        journal.close()


async def serve(config: Config, invoker: Invoker, sandboxes: Sandboxes, output: Output, stop: asyncio.Event) -> int:
    stopped = asyncio.ensure_future(stop.wait())
    opening = asyncio.ensure_future(invoker.open())
    await asyncio.wait((opening, stopped, sandboxes.lost), return_when=asyncio.FIRST_COMPLETED)
    if not opening.done():
        opening.cancel()
        return 0 if stopped.done() else _failed(output, config, sandboxes.lost.result())
    try:
        opening.result()
    except InitError as error:
        return _failed(output, config, str(error))
    for what, why in sandboxes.missing.items():
        invoker.note(f"sandboxes are without {what}: {why}")
    for line in sandboxes.notes:
        invoker.note(line)
    sites: list[Site] = []
    servers: list[asyncio.AbstractServer] = []
    try:
        await listen(config, invoker, time.time, sites, servers)
    except OSError as error:
        return _ended(output, config, f"it cannot listen: {error}")
    gc.collect()
    gc.freeze()  # what is there now stays: it need not be looked through again and again
    await asyncio.wait((stopped, sandboxes.lost), return_when=asyncio.FIRST_COMPLETED)
    for server in servers:
        server.close()
    _unlink(config.socket)
    if sandboxes.lost.done():
        return _ended(output, config, sandboxes.lost.result())
    stop.clear()
    again = asyncio.ensure_future(stop.wait())  # whoever asks twice does not want to wait
    draining = asyncio.ensure_future(invoker.drain())
    for site_ in sites:
        site_.close()
    await asyncio.wait((draining, again, sandboxes.lost), return_when=asyncio.FIRST_COMPLETED)
    goodbye = asyncio.gather(*(site_.wait_closed() for site_ in sites))
    await asyncio.wait((goodbye, again), timeout=GOODBYE, return_when=asyncio.FIRST_COMPLETED)
    return 0


async def listen(
    config: Config, invoker: Invoker, now: Callable[[], float], sites: list[Site], servers: list[asyncio.AbstractServer]
) -> None:
    """OSError: an address is taken."""
    loop = asyncio.get_running_loop()
    _unlink(config.socket)  # of one that was killed
    daemon = DaemonSide(invoker, config).site
    before = os.umask(0o177)
    try:
        servers.append(await loop.create_unix_server(daemon.protocol, config.socket, backlog=BACKLOG))
    finally:
        os.umask(before)
    sites.append(daemon)
    if config.port is not None:
        http = HttpSide(invoker, config, now).site
        servers.append(await loop.create_server(http.protocol, "127.0.0.1", config.port, backlog=BACKLOG))
        sites.append(http)


def _unlink(path: str) -> None:
    with contextlib.suppress(OSError):
        Path(path).unlink()


def _have_outputs() -> None:
    """Whoever starts us without stdout means it: the next thing that is opened must not take its place."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest that is free


def _many_connections() -> None:
    """As many descriptors as this user may have: a burst of a thousand events comes over a thousand connections."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def site(config: Config) -> str:
    """Where the code's own packages are, below its folder; empty: it has none."""
    found = sorted(Path(config.tree).glob(".venv/lib/python3.*/site-packages"))
    return str(found[0].relative_to(config.tree)) if found else ""


def _failed(output: Output, config: Config, why: str) -> int:
    what = config.handler or "its program"
    output.write(f"[fourfold] cannot start function {config.service}: {what}: {why}\n".encode())
    return 1


def _ended(output: Output, config: Config, why: str) -> int:
    """A sandbox had come up: it is not the function's fault."""
    output.write(f"[fourfold] cannot go on with function {config.service}: {why}\n".encode())
    return 1


if __name__ == "__main__":
    sys.exit(main())
