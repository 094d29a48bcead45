"""An invoker in the test's own loop, and ways to ask it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import uvloop

from fourfold.functions import environment
from fourfold.functions.__main__ import listen
from fourfold.functions.client import Invokers
from fourfold.functions.endings import Outcome
from fourfold.functions.http import Site
from fourfold.functions.invocation import Surroundings
from fourfold.functions.invoker import Invoker
from fourfold.functions.journal import Journal, from_line
from fourfold.functions.logs import Output
from fourfold.functions.model import Answer, Config, Invocation, SandboxNetwork, SandboxUser, Usage
from fourfold.functions.sandboxes import Sandboxes
from tests.functions.plain import PlainSandboxes

HANDLERS = Path(__file__).parent / "handlers"
T = TypeVar("T")
S = TypeVar("S", bound=Sandboxes, covariant=True)


class Opener(Protocol[S]):
    async def __call__(self, config: Config, env: dict[str, str]) -> S: ...


def in_loop(work: Coroutine[Any, Any, T]) -> T:
    """On the loop that the invoker has."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(asyncio.wait_for(work, 120))


def read(folder: str | Path) -> list[Usage]:
    """All whole lines of all files of a usage journal."""
    lines = [line for path in sorted(Path(folder).iterdir()) for line in path.read_bytes().splitlines(keepends=True)]
    return [found for line in lines if (found := from_line(line)) is not None]


def make_config(folder: Path, handler: str = "app.by_name", **changes: Any) -> Config:
    """Of the handlers beside this file, under the official runtime client."""
    given: dict[str, Any] = {
        "app": "shop", "service": "made", "instance": "made-3-k7f2", "release": 3, "kind": "python",
        "tree": str(HANDLERS), "argv": (sys.executable, "-m", "awslambdaric", handler), "handler": handler,
        "timeout": 60.0, "memory": 128 * 1024 * 1024, "tmp": 1024 * 1024, "concurrency": 2, "provisioned": 0,
        "queue": 1000, "idle": 600.0, "preload": "none", "payload": "v2", "layers": (), "port": None,
        "socket": str(folder / "invoker.sock"), "usage": str(folder / "usage"),
        "user": SandboxUser(20000, 20000, "made"),
        "network": SandboxNetwork("fourfold0", "10.177.0.1", 16, "10.177.128.16/28"), "function_name": "shop-made",
    }  # fmt: skip
    return Config(**(given | changes))


@dataclass
class Rig:
    invoker: Invoker
    sandboxes: Any
    config: Config
    clients: Invokers
    _log: Path
    _output: Output

    async def invoke(self, event: Any, *, tail: bool = False, request_id: str = "", **more: Any) -> Answer:
        payload = event if isinstance(event, bytes) else json.dumps(event).encode()
        request = Invocation(payload, request_id or str(uuid.uuid4()), tail=tail, **more)
        return await self.clients.invoke(self.config.socket, request)

    def submit(self, payload: bytes = b"{}", request_id: str = "") -> asyncio.Future[Outcome]:
        """Straight to the scheduler."""
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.invoker.submit(Invocation(payload, request_id or str(uuid.uuid4())), future.set_result)
        return future

    def usage(self) -> list[Usage]:
        return sorted(read(self.config.usage), key=lambda usage: usage.at)

    async def log(self, until: str) -> str:
        """What it has printed, once that is in it."""
        await eventually(lambda: until in self._log.read_text(errors="replace"), f"{until!r} in the log")
        return self._log.read_text(errors="replace")


async def eventually(condition: Callable[[], Any], what: str = "", timeout: float = 30.0) -> Any:
    """As tests.support.wait.until, for a loop that must go on."""
    deadline = time.monotonic() + timeout
    while not (seen := condition()):
        assert time.monotonic() < deadline, f"after {timeout:g} s still not: {what}; last seen: {seen!r}"
        await asyncio.sleep(0.005)
    return seen


@asynccontextmanager
async def running(
    folder: Path,
    config: Config,
    opener: Opener[Sandboxes] = PlainSandboxes.open,
    variables: dict[str, str] | None = None,
) -> AsyncIterator[Rig]:
    """Ready when this is entered."""
    loop = asyncio.get_running_loop()
    log = folder / "log"
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    output = Output(descriptor, loop)
    journal = Journal(config.usage, "run")
    sandboxes = await opener(config, environment.of_sandboxes(config, variables or {}, "2026/11/25"))
    invoker = Invoker(Surroundings(config, loop, sandboxes, output, journal, time.time, time.monotonic))
    clients = Invokers()
    sites: list[Site] = []
    servers: list[asyncio.AbstractServer] = []
    try:
        await invoker.open()
        await listen(config, invoker, time.time, sites, servers)
        yield Rig(invoker, sandboxes, config, clients, log, output)
    finally:
        clients.close()
        for server in servers:
            server.close()
        for site in sites:
            site.close()
        await invoker.close()
        await sandboxes.close()
        journal.close()
        output.close()
        os.close(descriptor)
