"""Sandboxes without a program: the test itself speaks the Runtime API in them, and so decides what happens when."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping

from fourfold.functions.cradle.protocol import Group
from fourfold.functions.model import Config
from fourfold.functions.sandboxes import Exited, Measured, Sandbox, SandboxError, Sandboxes
from tests.support.http import Answer, exchange


class ByHand(Sandboxes):
    def __init__(self) -> None:
        self.missing = {}
        self.notes = []
        self.lost = asyncio.get_running_loop().create_future()
        self.started: list[Sandbox] = []
        self.killed: list[Sandbox] = []
        self.frozen: set[int] = set()
        self.writers: dict[int, int] = {}
        self.peak: int | None = 10 * 1024 * 1024
        self.refuse: str | None = None
        self.serve = True
        """Sandboxes answer by themselves, each event with itself."""
        self.served: list[tuple[int, bytes]] = []
        """(sandbox, event), in the order in which they were given."""
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    async def open(cls, config: Config, env: Mapping[str, str]) -> ByHand:
        return cls()

    @classmethod
    async def silent(cls, config: Config, env: Mapping[str, str]) -> ByHand:
        made = cls()
        made.serve = False
        return made

    async def start(self) -> Sandbox:
        if self.refuse is not None:
            raise SandboxError(self.refuse)
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        listener.setblocking(False)
        read, write = os.pipe()
        os.set_blocking(read, False)
        number = len(self.started)
        self.writers[number] = write
        loop = asyncio.get_running_loop()
        sandbox = Sandbox(number, 0, listener, read, loop.create_future(), Group(), loop.create_future())
        self.started.append(sandbox)
        if self.serve:
            task = asyncio.ensure_future(self._serve(sandbox))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return sandbox

    async def _serve(self, sandbox: Sandbox) -> None:
        runtime = await Runtime.connect(sandbox)
        try:
            while True:
                request_id, event = await runtime.next()
                self.served.append((sandbox.number, event))
                await runtime.respond(request_id, event)
        except OSError:
            pass
        finally:
            runtime.close()

    def exit(self, sandbox: Sandbox, code: int | None = 0, signal: int | None = None, oom: bool = False) -> None:
        sandbox.exited.set_result(Exited(code, signal, oom))

    def begin(self, sandbox: Sandbox) -> None:
        pass

    def freeze(self, sandbox: Sandbox) -> None:
        self.frozen.add(sandbox.number)

    async def thaw(self, sandbox: Sandbox) -> None:
        self.frozen.discard(sandbox.number)

    async def kill(self, sandbox: Sandbox) -> None:
        self.killed.append(sandbox)
        if not sandbox.exited.done():
            self.exit(sandbox, None, 9)
        os.close(self.writers.pop(sandbox.number))
        sandbox.listener.close()

    def usage(self, sandbox: Sandbox) -> Measured:
        return Measured(self.peak, None)

    async def close(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()


class Runtime:
    """The client's end of a sandbox's Runtime API."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.head = b""
        """Of the last `next`."""
        self.asked = False
        """It has sent `next` already."""

    @classmethod
    async def connect(cls, sandbox: Sandbox) -> Runtime:
        host, port = sandbox.listener.getsockname()
        return cls(*await asyncio.open_connection(host, port))

    async def next(self) -> tuple[str, bytes]:
        """-> request id, event. OSError: the invoker hung up."""
        try:
            answer = await (self.read() if self.asked else self.ask("GET", "invocation/next"))
        except Exception as error:
            raise OSError(str(error)) from error
        self.asked = False
        assert answer.status == 200, answer
        self.head = answer.head
        found = [
            line.split(b": ", 1)[1] for line in answer.head.split(b"\r\n") if line.startswith(b"Lambda-Runtime-Aws")
        ]
        return found[0].decode(), answer.body

    async def respond(self, request_id: str, body: bytes) -> Answer:
        return await self.ask("POST", f"invocation/{request_id}/response", body)

    async def ask(self, method: str, what: str, body: bytes = b"", headers: str = "") -> Answer:
        return await self.raw(
            f"{method} /2018-06-01/runtime/{what} HTTP/1.1\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )

    async def raw(self, data: bytes) -> Answer:
        return await exchange(self._reader, self._writer, data)

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    async def read(self) -> Answer:
        return await exchange(self._reader, self._writer, b"")

    def close(self) -> None:
        self._writer.close()
