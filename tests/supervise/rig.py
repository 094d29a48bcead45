"""A supervisor with a spawner of its own in a home of its own; everything it started is gone afterwards."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fourfold.launch.model import Launch, Limits, Powers, User
from fourfold.paths import Paths
from fourfold.supervise import logs
from fourfold.supervise.model import Exit
from fourfold.supervise.powers import probe, with_containers
from fourfold.supervise.supervisor import Supervisor

PATIENCE = 60.0
PYTHON = "/usr/bin/python3"
SERVICE = User(uid=799001, gid=799001, name="fourfold-test", home="/tmp")
is_root = os.geteuid() == 0

_powers: list[Powers] = []


def powers() -> Powers:
    if not _powers:
        _powers.append(with_containers(probe(Path(tempfile.gettempdir()))))
    return _powers[0]


def needs(power: str) -> pytest.MarkDecorator:
    reason = powers().missing.get(power, f"this host cannot limit {power}")
    return pytest.mark.skipif(not getattr(powers(), power), reason=reason)


@contextmanager
def home(parent: Path | None = None) -> Iterator[Paths]:
    """Not pytest's tmp_path: that lies below a 0700 folder and is too deep for some."""
    folder = Path(tempfile.mkdtemp(prefix="ff-test-", dir=parent))
    folder.chmod(0o755)
    paths = Paths.find({"FOURFOLD_HOME": str(folder)}, os.geteuid())
    for each in (paths.state, paths.run, paths.config):
        each.mkdir(mode=0o700)
    try:
        yield paths
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Rig(Supervisor):
    """A Supervisor that remembers exits and makes short work of launches."""

    def __init__(self, paths: Paths, given: Powers | None = None, **more: Any) -> None:
        self.paths = paths
        self.exits: list[Exit] = []
        self.lost: list[str] = []
        on_exit = more.get("on_exit", self.exits.append)
        super().__init__(paths, given or powers(), on_exit, self.lost.append, more.get("network"))

    def launch(self, instance: str, *argv: str, **fields: Any) -> Launch:
        """As the service's user, in a private view where the host can."""
        plain = Launch(
            instance=instance,
            argv=argv,
            env={"PATH": "/usr/bin:/bin"},
            user=SERVICE if self.powers.users else None,
            private=self.powers.private,
        )
        return replace(plain, **fields)

    async def run(
        self, instance: str, *argv: str, secrets: Mapping[str, str] = {}, **fields: Any
    ) -> tuple[Exit, list[str]]:
        """Start it, wait for its end. -> the exit and everything it wrote."""
        await self.start(self.launch(instance, *argv, **fields), secrets, 1)
        return await self.exit_of(instance), self.lines(instance)

    async def sleeper(self, instance: str, **fields: Any) -> int:
        return (await self.start(self.launch(instance, "sleep", "1000", **fields), {}, 1)).pid

    def lines(self, instance: str, run: int = 1) -> list[str]:
        return logs.last_lines(self.paths, instance, run, 1_000_000)

    async def exit_of(self, instance: str) -> Exit:
        await until(lambda: any(exit.instance == instance for exit in self.exits), f"{instance} did not end")
        return next(exit for exit in reversed(self.exits) if exit.instance == instance)

    async def spawner_pid(self) -> int:
        return int((await self._call("hello"))["pid"])

    async def kill_spawner(self) -> int:
        """SIGKILL, and wait until another one has taken over. -> the dead one's pid."""
        pid, before = await self.spawner_pid(), len(self.lost)
        os.kill(pid, signal.SIGKILL)
        await until(lambda: len(self.lost) > before, "no new spawner came")
        return pid

    def groups(self) -> set[str]:
        return self._groups.names()


@asynccontextmanager
async def supervising(paths: Paths, given: Powers | None = None) -> AsyncIterator[Rig]:
    rig = Rig(paths, given)
    await rig.open()
    try:
        yield rig
    finally:
        await end(rig)


async def end(rig: Rig) -> None:
    """Kill every instance and the spawner, also where a test fails after it has closed the rig."""
    if rig._closing and not rig._connected.is_set():
        await rig.open()
    pid = await rig.spawner_pid()
    rig._closing = True
    await rig._call("shutdown", force=True)
    await until(lambda: not alive(pid), "the spawner did not end")
    await rig.close()


async def until(condition: Callable[[], object], otherwise: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, otherwise
        await asyncio.sleep(0.005)


def alive(pid: int) -> bool:
    """Neither gone nor a zombie."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


def scenario(test: Callable[[Rig], Any], given: Powers | None = None, parent: Path | None = None) -> None:
    """Run an async test with a rig, in a home that goes away."""

    async def go(paths: Paths) -> None:
        async with supervising(paths, given) as rig:
            await test(rig)

    with home(parent) as paths:
        asyncio.run(go(paths))


def names(folder: str | Path) -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


def script(text: str) -> tuple[str, ...]:
    return (PYTHON, "-I", "-S", "-c", text)


def limited(**limits: Any) -> dict[str, Any]:
    return {"limits": Limits(**limits)}
