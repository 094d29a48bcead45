"""Sandboxes that are plain processes, each with a port of its own on loopback: everything but the isolation is real.

As a program it is an invoker with such sandboxes: `python -m tests.functions.plain`, told as the real one is.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import uvloop

from fourfold.functions import environment
from fourfold.functions.__main__ import run
from fourfold.functions.cradle.protocol import Group
from fourfold.functions.model import CONFIG, Config
from fourfold.functions.sandboxes import Exited, Measured, Sandbox, SandboxError, Sandboxes


class PlainSandboxes(Sandboxes):
    """`config.argv` in `config.tree`. Freezing is SIGSTOP, the most memory that of its first process."""

    def __init__(self, config: Config, env: Mapping[str, str]) -> None:
        self.missing = {}
        self.notes = []
        self.lost = asyncio.get_running_loop().create_future()
        self.live: set[int] = set()
        self.at_once = 0
        """Most sandboxes that there were at the same time."""
        self.begun = 0
        self.refuse: str | None = None
        """Why none can be made."""
        self._config = config
        self._env = env
        self._processes: dict[Sandbox, subprocess.Popen[bytes]] = {}
        self._watchers: dict[Sandbox, int] = {}

    @classmethod
    async def open(cls, config: Config, env: Mapping[str, str]) -> PlainSandboxes:
        return cls(config, env)

    async def start(self) -> Sandbox:
        if self.refuse is not None:
            raise SandboxError(self.refuse)
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        listener.setblocking(False)
        read, write = os.pipe()
        os.set_blocking(read, False)
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        process = self._popen(address, write)
        os.close(write)
        loop = asyncio.get_running_loop()
        number = next(each for each in range(10_000) if each not in self.live)
        sandbox = Sandbox(number, process.pid, listener, read, loop.create_future(), Group(), loop.create_future())
        self._processes[sandbox] = process
        self.live.add(number)
        self.begun += 1
        self.at_once = max(self.at_once, len(self.live))
        descriptor = self._watchers[sandbox] = os.pidfd_open(process.pid)
        loop.add_reader(descriptor, self._ended, sandbox)
        return sandbox

    def _popen(self, address: str, output: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self._config.argv,
            cwd=self._config.tree,
            env={**self._env, "AWS_LAMBDA_RUNTIME_API": address, "PYTHONPATH": self._config.tree},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )

    def _ended(self, sandbox: Sandbox) -> None:
        if (descriptor := self._watchers.pop(sandbox, None)) is None:
            return
        asyncio.get_running_loop().remove_reader(descriptor)
        os.close(descriptor)
        code = self._processes[sandbox].wait()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(sandbox.pid, signal.SIGKILL)
        if not sandbox.exited.done():
            sandbox.exited.set_result(Exited(code, None, False) if code >= 0 else Exited(None, -code, False))

    def begin(self, sandbox: Sandbox) -> None:
        pass

    def freeze(self, sandbox: Sandbox) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(sandbox.pid, signal.SIGSTOP)

    async def thaw(self, sandbox: Sandbox) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(sandbox.pid, signal.SIGCONT)

    async def kill(self, sandbox: Sandbox) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(sandbox.pid, signal.SIGKILL)
        await asyncio.wait((sandbox.exited,))
        if sandbox.number in self.live:
            self.live.discard(sandbox.number)
            sandbox.listener.close()

    def usage(self, sandbox: Sandbox) -> Measured:
        try:
            status = Path(f"/proc/{sandbox.pid}/status").read_text()
        except OSError:
            return Measured(None, None)
        peak = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
        return Measured(int(peak[0]) * 1024 if peak else None, None)

    async def close(self) -> None:
        for sandbox in tuple(self._processes):
            await self.kill(sandbox)


def main() -> int:
    config = Config.from_json(os.environ.pop(CONFIG))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(run(config, environment.own(os.environ), PlainSandboxes.open))


if __name__ == "__main__":
    sys.exit(main())
