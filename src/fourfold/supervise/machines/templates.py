"""Makes a template: boots a machine up to a point, and keeps its memory and the state of its devices."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from fourfold.errors import WorldError
from fourfold.launch import qemu
from fourfold.launch.common import SYSTEM_PATH
from fourfold.launch.model import Launch
from fourfold.launch.template import CONFIG, CONFIG_BYTES, MEMORY, STATE, keeping, waiting
from fourfold.supervise.machines.qmp import Qmp, connected
from fourfold.supervise.model import Exit

_LOG = "log"


@dataclass(frozen=True)
class Booting:
    """A machine that boots for a template alone, and ends with it."""

    folder: Path
    """With its sockets."""
    ended: asyncio.Future[Exit]

    @property
    def control(self) -> Path:
        """Of the guest."""
        return self.folder / qemu.CONTROL


Boot = Callable[[Launch, int], AbstractAsyncContextManager[Booting]]
"""Starts one with this descriptor, a file of its user, for what it prints; it is killed in the end."""


async def make(
    boot: Boot,
    launch: Launch,
    staged: Path,
    ready: Callable[[Booting], Awaitable[None]] | None,
    patience: float,
    reads: Sequence[str] = (),
) -> None:
    """Put MEMORY and STATE into the folder `staged`. `patience`: seconds that it may take.

    `launch` is that of an instance. Without `ready` its machine is kept as soon as it has read `reads` (as
    `Machines.reads` has them) and waits for its configuration, which it does not get; else it gets it, and is kept when
    `ready` returns. WorldError.
    """
    assert launch.machine is not None
    launch = replace(launch, machine=replace(launch.machine, kept=str(staged), template=None, waits=ready is None))
    if ready is None:  # nothing of the service is in it: what it needs, secrets among them, each clone is told
        launch = replace(launch, env={}, files=())
    await asyncio.to_thread(_prepare, staged, launch, qemu.configuration(waiting(reads)) if ready is None else "")
    with (staged / _LOG).open("r+b", buffering=0) as log:
        try:
            async with asyncio.timeout(patience), boot(launch, log.fileno()) as machine:
                await _first(machine, _come_to_it(machine, ready))
                async with connected(machine.folder / qemu.QMP) as qmp:
                    await _keep(qmp, staged / STATE)
        except TimeoutError as error:
            raise WorldError(f"it was not there after {patience:g} s{_said(log.fileno())}") from error
        except WorldError as error:
            raise WorldError(f"{error}{_said(log.fileno())}") from error
    for name in (CONFIG, _LOG):
        (staged / name).unlink()


def _prepare(staged: Path, launch: Launch, config: str) -> None:
    assert launch.machine is not None
    sizes = {MEMORY: launch.machine.memory, CONFIG: CONFIG_BYTES, _LOG: 0}
    try:
        for name, size in sizes.items():
            with (staged / name).open("wb") as file:
                os.fchmod(file.fileno(), 0o600)
                if (owner := launch.machine.owner) is not None:
                    os.fchown(file.fileno(), owner.uid, owner.gid)
                if name == CONFIG:
                    file.write(config.encode(errors="surrogateescape"))
                file.truncate(size)
    except OSError as error:
        raise WorldError(f"cannot make room for a template: {error.strerror}", "make room on the disk") from error


async def _come_to_it(machine: Booting, ready: Callable[[Booting], Awaitable[None]] | None) -> None:
    async for line in _reports(machine.folder / qemu.REPORT):
        word, _, rest = line.partition(" ")
        if word in ("failed", "ended"):
            raise WorldError(f"the machine {word}: {rest}")
        if word == "waiting" and ready is None:
            return
        if word == "started" and ready is not None:
            return await ready(machine)
    raise WorldError("the machine ended before it could be kept")


async def _reports(socket: Path) -> AsyncIterator[str]:
    """Lines of the guest; QEMU does not begin before somebody reads them."""
    try:
        reader, writer = await asyncio.open_unix_connection(socket)
    except OSError as error:
        raise WorldError(f"cannot reach the machine: {error.strerror}") from error
    try:
        while line := await reader.readline():
            yield line.decode(errors="replace").rstrip("\n")
    finally:
        writer.close()


async def _first(machine: Booting, done: Awaitable[None]) -> None:
    """Wait for it, unless the machine ends before."""
    task = asyncio.ensure_future(done)
    either: list[asyncio.Future[Any]] = [task, machine.ended]
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise WorldError(f"the machine ended: {machine.ended.result()}")
        task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _keep(qmp: Qmp, state: Path) -> None:
    with state.open("wb") as file:
        os.fchmod(file.fileno(), 0o600)
        await qmp.ask({"execute": "getfd", "arguments": {"fdname": STATE}}, file.fileno())
        for command in keeping(STATE):
            await qmp.ask(command)
        while (event := await qmp.event())["event"] != "MIGRATION" or event["data"]["status"] != "completed":
            if event["event"] == "MIGRATION" and event["data"]["status"] == "failed":
                info = await qmp.ask({"execute": "query-migrate"})
                raise WorldError(f"QEMU cannot keep the state of the machine: {info.get('error-desc', 'unknown')}")


def _said(log: int) -> str:
    """The last line of what the machine printed."""
    lines = os.pread(log, 1 << 16, max(0, os.fstat(log).st_size - (1 << 16))).decode(errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return f" ({last})" if last else ""


def host_key(accelerator: str) -> str:
    """What a template depends on that is this host's: see `launch.template.key`. WorldError: there is no QEMU."""
    return _version(_qemu()) + (_processor() if accelerator == "kvm" else "")


def _qemu() -> tuple[str, int, int]:
    for folder in SYSTEM_PATH.split(":"):
        path = Path(folder) / qemu.PROGRAM
        if path.exists():
            found = path.stat()
            return str(path), found.st_mtime_ns, found.st_size
    raise WorldError(f"{qemu.PROGRAM} is not installed", "apt-get install qemu-system-x86")


@cache
def _version(program: tuple[str, int, int]) -> str:
    said = subprocess.run([program[0], "--version"], capture_output=True, text=True, check=False)
    return f"{said.stdout} {program[1:]}"


def _processor() -> str:
    """Of the first processor: its model, microcode and abilities."""
    first = Path("/proc/cpuinfo").read_text().partition("\n\n")[0]
    kept = ("vendor_id", "cpu family", "model", "stepping", "microcode", "flags")
    return "\n".join(line for line in first.splitlines() if line.startswith(kept))
