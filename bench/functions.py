"""Those who run a function and take events for it: our invoker, aws-lambda-rie, serverless-offline, with one handler.

Ours is the invoker itself with real sandboxes, on a bridge and in control groups such as the supervisor makes; so it
runs in a network namespace (`inside`).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from tests.support.netns import INSIDE
from tests.support.wait import until

from bench.contenders import PEERS
from bench.machine import ENV, ROOT, end, free_ports, with_descendants
from fourfold.functions.client import to_request
from fourfold.functions.model import CONFIG, Config, Invocation, SandboxNetwork, SandboxUser

HANDLER = "def handler(event, context):\n    return event\n"
EVENT = b'{"key1": "value1", "key2": "value2", "key3": "value3"}'
EMULATOR = ROOT / ".venv" / "share" / "aws-lambda-rie"
SERVERLESS = PEERS / "serverless"
CONTROLLERS = frozenset(("cpu", "cpuacct", "memory", "pids", "freezer"))


class Runner(Protocol):
    """Whoever runs the function, and how it is asked."""

    name: str
    at_once: int
    """Events that it is asked to take at the same time, when its rate is measured."""

    @property
    def address(self) -> str | int:
        """Path of a Unix socket, or a port on loopback."""
        ...

    def start(self) -> None:
        """Returns when it takes events."""
        ...

    def request(self) -> bytes:
        """One event, as HTTP; another each time."""
        ...

    def stop(self) -> None: ...


class Ours:
    name = "fourfold"
    at_once = 8

    def __init__(self, folder: Path, concurrency: int = 4) -> None:
        self._folder = folder
        self._concurrency = concurrency
        self._process: subprocess.Popen[bytes] | None = None
        self._groups: list[Path] = []

    @property
    def address(self) -> str:
        return str(self._folder / "invoker.sock")

    def start(self) -> None:
        tree = self._folder / "tree"
        runtime = tree / ".fourfold" / "runtime"
        runtime.mkdir(parents=True)
        (tree / "app.py").write_text(HANDLER)
        packages = Path(sys.prefix) / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
        for name in ("awslambdaric", "simplejson", *(path.name for path in packages.glob("runtime_client*.so"))):
            copy = shutil.copytree if (packages / name).is_dir() else shutil.copy
            copy(packages / name, runtime / name)
        self._groups = groups(f"bench-{os.getpid()}")
        joins = " && ".join(f"echo $$ > '{group}/cgroup.procs'" for group in self._groups) or "true"
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                ["sh", "-c", f'{joins} && exec "$0" -I -m fourfold.functions', sys.executable],
                env={**ENV, CONFIG: self._config(tree).to_json()},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        process = self._process
        until(lambda: Path(self.address).exists() or process.poll() is not None, what="the invoker to listen")
        if process.poll() is not None:
            raise RuntimeError((self._folder / "log").read_text())

    def _config(self, tree: Path) -> Config:
        return Config(
            app="bench", service="echo", instance="echo-1-bench", release=1, kind="python", tree=str(tree),
            argv=("/usr/bin/python3",), handler="app.handler", timeout=3.0, memory=1769 * 1024 * 1024,
            tmp=16 * 1024 * 1024, concurrency=self._concurrency, provisioned=0, queue=1000, idle=600.0,
            preload="modules", payload="v2", layers=(), port=None, socket=self.address,
            usage=str(self._folder / "usage"), user=SandboxUser(64000, 64000, "echo"),
            network=SandboxNetwork("fourfold0", "10.177.0.1", 16, "10.177.128.0/24"), function_name="echo",
        )  # fmt: skip

    def request(self) -> bytes:
        return to_request(Invocation(EVENT, str(uuid.uuid4())))

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(timeout=60)
        for group in self._groups:
            remove(group)


class Emulator:
    """AWS's own, which takes one event at a time."""

    name = "aws-lambda-rie"
    at_once = 1

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ports = free_ports(2, start=19000)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> int:
        return self._ports[0]

    def start(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / "app.py").write_text(HANDLER)
        options = ("--runtime-interface-emulator-address", f"127.0.0.1:{self._ports[0]}",
                   "--runtime-api-address", f"127.0.0.1:{self._ports[1]}")  # fmt: skip
        self._process = run(
            [str(EMULATOR), *options, sys.executable, "-m", "awslambdaric", "app.handler"],
            self._folder,
            {"PYTHONPATH": str(self._folder)},
        )
        until_listening(self._ports[0])

    def request(self) -> bytes:
        return post("/2015-03-31/functions/function/invocations")

    def stop(self) -> None:
        if self._process is not None:
            end(with_descendants([self._process.pid]))
            self._process.wait()


class ServerlessOffline:
    """https://github.com/dherault/serverless-offline, from npm; 13 is the last one that needs no account."""

    name = "serverless-offline"
    at_once = 8

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ports = free_ports(4, start=19200)
        self._process: subprocess.Popen[bytes] | None = None

    @staticmethod
    def install() -> None:
        if not (SERVERLESS / "node_modules" / "serverless-offline").exists():
            npm = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(SERVERLESS)]
            subprocess.run([*npm, "serverless@3", "serverless-offline@13"], check=True)

    @property
    def address(self) -> int:
        return self._ports[1]

    def start(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / "app.py").write_text(HANDLER)
        (self._folder / "node_modules").symlink_to(SERVERLESS / "node_modules")
        (self._folder / "serverless.yml").write_text(
            "service: bench\nprovider: {name: aws, runtime: python3.11}\nplugins: [serverless-offline]\n"
            "functions: {echo: {handler: app.handler}}\n"
            f"custom: {{serverless-offline: {{httpPort: {self._ports[0]}, lambdaPort: {self._ports[1]}, "
            f"websocketPort: {self._ports[2]}, albPort: {self._ports[3]}}}}}\n"
        )
        self._process = run(
            ["node", "node_modules/serverless/bin/serverless.js", "offline"],
            self._folder,
            {"SLS_TELEMETRY_DISABLED": "1", "SLS_NOTIFICATIONS_MODE": "off"},
        )
        until_listening(self._ports[1])

    def request(self) -> bytes:
        return post("/2015-03-31/functions/bench-dev-echo/invocations")

    def stop(self) -> None:
        if self._process is not None:
            end(with_descendants([self._process.pid]))
            self._process.wait()


def post(path: str) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: {len(EVENT)}\r\n\r\n"
    )
    return head.encode() + EVENT


def run(argv: Sequence[str], folder: Path, more: dict[str, str]) -> subprocess.Popen[bytes]:
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(argv, cwd=folder, env={**ENV, **more}, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def until_listening(port: int) -> None:
    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    until(listens, timeout=60, what=f"somebody to listen on {port}")


def inside(module: str, arguments: Sequence[str]) -> int | None:
    """Run `module` again in a network of its own. None: this is it; the bridge is there now."""
    if not os.environ.get(INSIDE):
        return subprocess.run(
            [sys.executable, "-m", "tests.support.netns", "--", sys.executable, "-m", module, *arguments], cwd=ROOT
        ).returncode
    for command in ("link add fourfold0 type bridge", "addr add 10.177.0.1/16 dev fourfold0", "link set fourfold0 up"):
        subprocess.run(["ip", *command.split()], check=True)
    return None


def groups(name: str) -> list[Path]:
    """Control groups as the supervisor makes them for an instance."""
    made = []
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, point, kind, options, *_ = line.split()
        if kind == "cgroup2" or (kind == "cgroup" and CONTROLLERS & set(options.split(","))):
            group = Path(point) / "fourfold" / "be0cbe0cbe0c" / name
            with contextlib.suppress(OSError):
                group.mkdir(parents=True, exist_ok=True)
                made.append(group)
    return made


def remove(group: Path) -> None:
    for folder in (*below(group), group, group.parent):
        with contextlib.suppress(OSError):
            folder.rmdir()


def below(group: Path) -> Iterator[Path]:
    for folder in group.iterdir():
        if folder.is_dir():
            yield from below(folder)
            yield folder
