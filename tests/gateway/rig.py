"""Real parts for gateway tests: HAProxy as its Launch says, programs behind it, clients and load in front of it."""

from __future__ import annotations

import asyncio
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fourfold.gateway.haproxy import Gateway
from fourfold.gateway.model import Backend, Frontend, GatewayConfig, Rule, Server
from fourfold.launch.model import Launch
from fourfold.paths import Paths
from tests.support.ports import free_port

Headers = dict[str, str]


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 60.0) -> None:
    """Wait for a condition; a test fails when it does not come true."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - there is no event: the condition is HAProxy's
            await asyncio.sleep(0.02)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Headers
    body: bytes

    @property
    def seen(self) -> dict[str, object]:
        """What the program behind the gateway saw: instance, method, target, headers."""
        found: dict[str, object] = json.loads(self.body)
        return found


async def read_head(reader: asyncio.StreamReader) -> tuple[str, Headers]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *rest = head.rstrip("\r\n").split("\r\n")
    pairs = (line.split(":", 1) for line in rest)
    return first, {name.lower(): value.strip() for name, value in pairs}


class Client:
    """One connection, kept alive until an answer says otherwise."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self._address = (host, port)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(
        self, target: str = "/", method: str = "GET", headers: Headers | None = None, body: bytes = b""
    ) -> Answer:
        fields = {"Host": "shop.test", **(headers or {})}
        if body or method == "POST":
            fields["Content-Length"] = str(len(body))
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
        reader, writer = await self.connect()
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        first, received = await read_head(reader)
        length = int(received.get("content-length", "0"))
        content = await reader.readexactly(length) if method != "HEAD" else b""
        if received.get("connection", "").lower() == "close":
            await self.close()
        return Answer(int(first.split()[1]), received, content)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._address)
        return self._streams

    async def close(self) -> None:
        if self._streams:
            self._streams[1].close()
            self._streams = None


async def get(port: int, target: str = "/", method: str = "GET", body: bytes = b"", **headers: str) -> Answer:
    """One request on a connection of its own; `x_y="z"` is the header `x-y: z`."""
    client = Client(port)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await client.ask(target, method, named, body)
    finally:
        await client.close()


class Program:
    """A web program: tells what it saw; `/slow/N` takes N seconds, `/events` streams, `/ws` echoes, `/die` hangs up."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.port = 0
        self.requests = 0
        self.connections = 0
        self.release = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def server(self) -> Server:
        return Server(self.name, "127.0.0.1", self.port)

    async def start(self) -> Program:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        """As a killed program: nothing listens, every connection is cut."""
        if self._server:
            self._server.close()
            self._server = None
        for writer in list(self._open):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        self.connections += 1
        try:
            while await self._answer(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._open.discard(writer)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        first, headers = await read_head(reader)
        method, target, _ = first.split(" ")
        await reader.readexactly(int(headers.get("content-length", "0")))
        self.requests += 1
        if target == "/die":
            return False
        if target == "/held":
            await self.release.wait()
        if target.startswith("/slow/"):
            await asyncio.sleep(float(target.split("/")[2]))
        if target == "/events":
            await self._events(writer)
            return True
        if target == "/ws":
            await self._websocket(reader, writer)
            return False
        seen = {"instance": self.name, "method": method, "target": target, "headers": headers}
        body = json.dumps(seen).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
        writer.write(b"" if method == "HEAD" else body)
        await writer.drain()
        return True

    async def _events(self, writer: asyncio.StreamWriter) -> None:
        """The second event comes only when the test, having seen the first, sets `release`."""
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for text in (b"data: 1\n\n", b"data: 2\n\n"):
            writer.write(b"%x\r\n%s\r\n" % (len(text), text))
            await writer.drain()
            await self.release.wait()
        writer.write(b"0\r\n\r\n")

    async def _websocket(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """After the handshake bytes are echoed as they come: the gateway does not look into frames."""
        # RFC 6455, section 1.3: the accept value of the section's sample key.
        accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        head = f"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}"
        writer.write(f"{head}\r\n\r\n".encode())
        while data := await reader.read(4096):
            writer.write(data)


async def websocket(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        b"GET /ws HTTP/1.1\r\nHost: shop.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    first, _ = await read_head(reader)
    assert " 101 " in first, first
    return reader, writer


async def echo(streams: tuple[asyncio.StreamReader, asyncio.StreamWriter], data: bytes) -> bytes:
    streams[1].write(data)
    return await asyncio.wait_for(streams[0].readexactly(len(data)), 10)


@dataclass
class Load:
    """Clients that ask without pause but never more than `clients` at once: half keep their connection, half do not."""

    port: int
    clients: int = 6
    answered: int = 0
    failures: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Load]:
        over = asyncio.Event()
        clients = [self._client(over, keep=bool(n % 2), post=n % 3 == 0) for n in range(self.clients)]
        tasks = [asyncio.create_task(client) for client in clients]
        try:
            yield self
        finally:
            over.set()
            await asyncio.gather(*tasks)

    async def more(self, count: int = 100) -> None:
        """Wait for this many further answers."""
        goal = self.answered + count

        async def enough() -> bool:
            return self.answered + len(self.failures) >= goal

        await until(enough)

    async def _client(self, over: asyncio.Event, keep: bool, post: bool) -> None:
        client = Client(self.port)
        while not over.is_set():
            try:
                answer = await client.ask("/slow/0.002", "POST" if post else "GET", {}, b"x" * 10 if post else b"")
                if answer.status != 200:
                    self.failures.append(f"{answer.status} {answer.body[:100]!r}")
                self.answered += answer.status == 200
            except (OSError, asyncio.IncompleteReadError) as error:
                self.failures.append(repr(error))
                await client.close()
            if not keep:
                await client.close()
        await client.close()


class Rig:
    """A gateway with its own home and ports; HAProxy runs from `start` to the end of the test."""

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="fourfold-gateway-"))
        self.paths = Paths.find({"FOURFOLD_HOME": str(self.home)}, os.geteuid())
        self.gateway = Gateway(self.paths)
        self.port = free_port()
        self.internal = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self._programs: list[Program] = []

    async def program(self, name: str = "shop.web-1-a") -> Program:
        self._programs.append(await Program(name).start())
        return self._programs[-1]

    def config(
        self, servers: Iterable[Server] = (), rules: Iterable[Rule] | None = None, hard_stop_after: float = 300.0
    ) -> GatewayConfig:
        """One service `shop.web` with these servers; by default every request goes to it."""
        given = (Rule("shop.web"),) if rules is None else tuple(rules)
        backend = Backend("shop.web", tuple(servers), self.internal)
        return GatewayConfig((Frontend(f"127.0.0.1:{self.port}", given),), (backend,), hard_stop_after)

    async def start(self, config: GatewayConfig) -> None:
        await self.gateway.apply(config)
        await self.launch()

    async def launch(self) -> None:
        self._spawn(self.gateway.launch("fourfold.gateway-1-a"))
        await until(self.gateway.ready)

    def _spawn(self, launch: Launch) -> None:
        environment = {name: str(value) for name, value in launch.env.items()}
        with (self.home / "log").open("ab") as log:
            self.process = subprocess.Popen(
                launch.argv, cwd=launch.cwd, env=environment, stdout=log, stderr=subprocess.STDOUT
            )

    def kill(self) -> None:
        """And wait for its workers, which see a little later that their master is gone, and answer until then."""
        assert self.process
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        workers = []
        for pid in children:
            with suppress(ProcessLookupError):  # an old one, which has just ended
                workers.append(os.pidfd_open(int(pid)))
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        for worker in workers:
            assert select.select([worker], [], [], 60)[0], "a worker goes on without its master"
            os.close(worker)

    @property
    def logged(self) -> list[dict[str, Any]]:
        """Of each request a line, once all of it is there: in any order, for each thread of HAProxy writes of its own
        connections, once they were answered."""
        *lines, _ = (self.home / "log").read_text().split("\n")
        return [json.loads(line) for line in lines if line.startswith("{")]

    async def close(self) -> None:
        for program in self._programs:
            await program.stop()
        if self.process and self.process.poll() is None:
            self.process.terminate()  # at once, connections or not
            self.process.wait(30)
        shutil.rmtree(self.home)


def with_rig(test: Callable[[Rig], Awaitable[None]]) -> Callable[[], None]:
    """Run an async test with a rig of its own."""

    async def run() -> None:
        rig = Rig()
        try:
            async with asyncio.timeout(120):
                await test(rig)
        finally:
            await rig.close()

    def wrapped() -> None:
        asyncio.run(run())

    wrapped.__name__, wrapped.__doc__ = test.__name__, test.__doc__
    return wrapped
