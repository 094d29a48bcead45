"""Sandboxes to try things in, below a control group such as the supervisor starts an invoker in."""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import shutil
import socket
import sys
import tempfile
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import awslambdaric  # type: ignore[import-untyped]
import pytest
import uvloop

from fourfold.functions.model import RUNTIME_API, Config, SandboxNetwork, SandboxUser
from fourfold.functions.sandboxes import Exited, Sandbox, Sandboxes
from fourfold.launch.model import Limits
from fourfold.spawner import kernel
from fourfold.supervise.cgroups.cgroups import Groups
from fourfold.supervise.cgroups.find import find
from tests.supervise.rig import powers
from tests.support.netns import own_network, run
from tests.support.wait import until

PYTHON = str(Path(sys.executable).resolve())
ID = 640_000 + os.getpid() % 10_000
"""Tests that run side by side look for processes of their own user."""
USER = SandboxUser(ID, ID, "fn-test")
BRIDGE = SandboxNetwork("br9", "10.9.0.1", 16, "10.9.1.0/28")
NO_BRIDGE = SandboxNetwork("", "", 0, "")
MIB = 1024 * 1024
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may make sandboxes")
has_v1_freezer = any(line.startswith("freezer\t") for line in Path("/proc/cgroups").read_text().splitlines()) and (
    Path("/sys/fs/cgroup/freezer").is_dir()
)
needs_limits = pytest.mark.skipif(
    bool({"cpu", "memory", "pids"} & set(powers().missing)), reason="this host limits nothing"
)


def config(tree: Path, *argv: str, **fields: Any) -> Config:
    """Of a program, or without `argv` of a Python handler `app.handler`."""
    return replace(
        Config(
            app="a",
            service="f",
            instance="a.f-1-x",
            release=1,
            kind="provided" if argv else "python",
            tree=str(tree),
            argv=argv or (PYTHON,),
            handler="app.handler",
            timeout=3,
            memory=256 * MIB,
            tmp=16 * MIB,
            concurrency=4,
            provisioned=0,
            queue=10,
            idle=60,
            preload="modules",
            payload="v2",
            layers=(),
            port=None,
            socket=str(tree / "socket"),
            usage=str(tree),
            user=USER,
            network=NO_BRIDGE,
        ),
        **fields,
    )


def environment() -> dict[str, str]:
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "AWS_LAMBDA_RUNTIME_API": RUNTIME_API,
        "PYTHONPATH": "/var/task:/var/runtime",
        "SECRET": "s3cret",
    }


def python(tree: Path, code: str, **fields: Any) -> Config:
    """A program in Python that is started for each sandbox."""
    (tree / "program.py").write_text(code)
    return config(tree, PYTHON, "-u", "/var/task/program.py", **fields)


def handler(tree: Path, code: str, **fields: Any) -> Config:
    """A Python function, with the official runtime client."""
    (tree / "app.py").write_text(code)
    shutil.copytree(_runtime(), tree / ".fourfold/runtime", dirs_exist_ok=True)
    return config(tree, **fields)


@cache
def _runtime() -> Path:
    installed = Path(awslambdaric.__file__).parents[1]
    target = Path(tempfile.mkdtemp(prefix="fourfold-ric-"))
    atexit.register(shutil.rmtree, target, ignore_errors=True)
    for name in ("awslambdaric", "snapshot_restore_py", "simplejson"):
        if (installed / name).is_dir():
            shutil.copytree(installed / name, target / name)
    for file in installed.glob("runtime_client*"):
        shutil.copy(file, target)
    target.chmod(0o755)
    return target


@contextmanager
def tree() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="fourfold-fn-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@contextmanager
def own_groups() -> Iterator[Groups]:
    """We are, meanwhile, in the groups of an instance; nothing may be left in them."""
    with tempfile.TemporaryDirectory() as home:
        groups = find(Path(home), Path(home))
        before = _memberships()
        folders = groups.create("a.f-1-x.1", Limits(pids=20_000))
        try:
            for folder in folders:
                Path(folder, "cgroup.procs").write_text(str(os.getpid()))
            yield groups
        finally:
            for name, path in before:
                with suppress(OSError):
                    Path(f"{_mounts()[name]}{path}", "cgroup.procs").write_text(str(os.getpid()))
            until(lambda: groups.remove("a.f-1-x.1"), what="the end of all processes")
            groups.close()


def _memberships() -> list[tuple[str, str]]:
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    return [(names, path) for _, names, path in (line.split(":", 2) for line in lines) if names in _mounts()]


@cache
def _mounts() -> dict[str, str]:
    """Controllers, as /proc/self/cgroup names them, -> mount point."""
    found = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        kind, _, options = right.split(" ", 2)
        if kind == "cgroup2":
            found[""] = left.split()[4]
        elif kind == "cgroup":
            names = [each for each in options.split(",") if each not in ("rw", "ro")]
            found[",".join(names)] = left.split()[4]
    return found


@contextmanager
def surroundings() -> Iterator[None]:
    """Groups and a network of the test's own, in which `br9` is a bridge."""
    with own_network(), own_groups():
        run("ip", "link", "add", "br9", "type", "bridge")
        run("ip", "address", "add", "10.9.0.1/16", "dev", "br9")
        run("ip", "link", "set", "br9", "up")
        yield


def sandboxed(test: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    """Run in there."""

    def wrapped() -> None:
        with surroundings():
            uvloop.run(asyncio.wait_for(_awaited(test), 120))

    wrapped.__name__, wrapped.__doc__ = test.__name__, test.__doc__
    return wrapped


async def _awaited(test: Callable[[], Awaitable[None]]) -> None:
    await test()


def in_child(do: Callable[[], None]) -> None:
    """What cannot be taken back: in a process of its own, which must not fail."""
    if (pid := os.fork()) == 0:
        code = 1
        try:
            do()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def forget_v2() -> None:
    """As on a host whose control groups are all v1."""
    kernel.unshare(kernel.CLONE_NEWNS)
    kernel.mount("none", "/", None, kernel.MS_REC | kernel.MS_SLAVE)
    if point := _mounts().get(""):
        kernel.detach(point)
    _mounts.cache_clear()


@asynccontextmanager
async def opened(given: Config) -> AsyncIterator[Sandboxes]:
    sandboxes = await Sandboxes.open(given, environment())
    try:
        yield sandboxes
    finally:
        await sandboxes.close()


async def said(sandbox: Sandbox) -> str:
    """All that it says, once it and all its processes have ended."""
    await asyncio.wait_for(sandbox.exited, 60)
    text = b""
    with suppress(BlockingIOError):
        while piece := os.read(sandbox.output, 65536):
            text += piece
    return text.decode()


async def line(sandbox: Sandbox) -> str:
    """The first that it says."""
    text = ""
    while "\n" not in text:
        over, before = sandbox.exited.done(), text
        with suppress(BlockingIOError):
            text += os.read(sandbox.output, 4096).decode()
        assert text != before or not over, sandbox.exited
        await asyncio.sleep(0.005)
    return text.partition("\n")[0]


async def told(given: Config) -> Any:
    """The JSON that a program says, in its only sandbox."""
    async with opened(given) as sandboxes:
        sandbox = await sandboxes.start()
        text = await said(sandbox)
        assert str(sandbox.exited.result()) == "exit status 0", text
        await sandboxes.kill(sandbox)
        os.close(sandbox.output)
    return json.loads(text)


async def ended(given: Config) -> tuple[Exited, str]:
    async with opened(given) as sandboxes:
        sandbox = await sandboxes.start()
        text = await said(sandbox)
        await sandboxes.kill(sandbox)
        os.close(sandbox.output)
    return sandbox.exited.result(), text


class Client:
    """The runtime client of a sandbox that calls us: events go to it as the answer to its `next`."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    @classmethod
    async def of(cls, sandbox: Sandbox) -> Client:
        loop = asyncio.get_running_loop()
        try:
            connection, _ = await asyncio.wait_for(loop.sock_accept(sandbox.listener), 30)
        except TimeoutError:
            raise AssertionError(f"it does not call: {os.read(sandbox.output, 65536).decode()}") from None
        client = cls(connection)
        assert (await client.read())[0].startswith("GET /2018-06-01/runtime/invocation/next ")
        return client

    async def read(self) -> tuple[str, bytes]:
        loop = asyncio.get_running_loop()
        data = b""
        while b"\r\n\r\n" not in data:
            data += await self._more(loop)
        head, _, body = data.partition(b"\r\n\r\n")
        length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line[:15] == b"content-length:"), 0)
        while len(body) < length:
            body += await self._more(loop)
        return head.decode(), body

    async def _more(self, loop: asyncio.AbstractEventLoop) -> bytes:
        data = await asyncio.wait_for(loop.sock_recv(self._connection, 65536), 30)
        if not data:
            raise ConnectionResetError("it has hung up")
        return data

    async def handle(self, event: Any) -> Any:
        """-> what the handler returns."""
        loop = asyncio.get_running_loop()
        body = json.dumps(event).encode()
        names = ("Aws-Request-Id: r1", "Trace-Id: t", "Deadline-Ms: 9999999999999", "Invoked-Function-Arn: arn")
        head = "".join(f"Lambda-Runtime-{name}\r\n" for name in names)
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        await loop.sock_sendall(self._connection, b"HTTP/1.1 200 OK\r\n" + head.encode() + body)
        first, answer = await self.read()
        assert first.startswith("POST /2018-06-01/runtime/invocation/r1/response "), first + answer.decode()
        accepted = b"HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n"
        await loop.sock_sendall(self._connection, accepted + b'{"status":"OK"}')
        await self.read()
        return json.loads(answer)

    def close(self) -> None:
        self._connection.close()
