"""How a template is made: what QEMU is told and when, and what is left when anything goes wrong. QEMU is a fake."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fourfold.errors import WorldError
from fourfold.launch.model import File, Launch, SecretRef
from fourfold.launch.template import CONFIG_BYTES
from fourfold.supervise.machines.templates import Booting, make
from fourfold.supervise.model import Exit
from tests.launch.test_qemu import MACHINE

LAUNCH = Launch(
    "shop.web-1-template", ("x",), env={"TOKEN": SecretRef("token")}, machine=replace(MACHINE, memory=1 << 20),
    files=(File("/run/secrets/key", SecretRef("key")),),
)  # fmt: skip


class Qemu:
    """`reports` are lines of its guest; `status` ends the migration; `ends`: it does by itself, at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.reports = ["booted", "waiting"]
        self.status = "completed"
        self.ends = False
        self.refuses = ""
        self.told: list[str] = []
        self.launch: Launch | None = None
        self.gone = False
        self.guest: asyncio.StreamWriter | None = None

    @asynccontextmanager
    async def boot(self, launch: Launch, log: int) -> AsyncIterator[Booting]:
        self.launch = launch
        ended: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        os.pwrite(log, b"first\nthe last word\n\n", 0)
        if self.ends:
            ended.set_result(Exit(1, launch.instance, 1, None, False, 1.0))
        self.folder.mkdir()
        report = await asyncio.start_unix_server(self._report, self.folder / "report")
        qmp = socket.socket(socket.AF_UNIX)
        qmp.bind(str(self.folder / "qmp"))
        qmp.listen()
        answering = asyncio.create_task(asyncio.to_thread(self._answer, qmp))
        try:
            yield Booting(self.folder, ended)
        finally:
            self.gone = True
            report.close()
            qmp.shutdown(socket.SHUT_RDWR)
            await answering
            qmp.close()

    async def _report(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for line in self.reports:
            writer.write(line.encode() + b"\n")
        if self.reports[-1] == "":
            writer.close()
        self.guest = writer  # from Python 3.13 on, a connection that nobody knows any more is closed

    def _answer(self, server: socket.socket) -> None:
        try:
            client, _ = server.accept()
        except OSError:
            return
        with client:
            client.sendall(b'{"QMP": {}}\r\n')
            passed: list[int] = []
            while True:
                data, fds, _, _ = socket.recv_fds(client, 4096, 1)
                if not data:
                    return
                passed += fds
                command = json.loads(data)["execute"]
                self.told.append(command)
                if command == self.refuses:
                    client.sendall(b'{"error": {"desc": "no such thing"}}\r\n')
                    continue
                client.sendall(b'{"event": "RESUME"}\r\n{"return": {"error-desc": "disk full"}}\r\n')
                if command == "migrate":
                    os.write(passed[0], b"devices")
                    os.close(passed[0])
                    events = [{"event": "MIGRATION", "data": {"status": each}} for each in ("setup", self.status)]
                    client.sendall("".join(json.dumps(each) + "\r\n" for each in events).encode())


def with_qemu(test: Callable[[Qemu, Path], Coroutine[Any, Any, None]]) -> Callable[[Path], None]:
    def wrapped(tmp_path: Path) -> None:
        (tmp_path / "staged").mkdir()
        asyncio.run(test(Qemu(tmp_path / "q"), tmp_path / "staged"))

    wrapped.__name__ = test.__name__
    return wrapped


@with_qemu
async def test_it_is_kept_where_it_waits(qemu: Qemu, staged: Path) -> None:
    await make(qemu.boot, LAUNCH, staged, None, 20.0)
    assert qemu.told == ["qmp_capabilities", "getfd", "migrate-set-capabilities", "migrate"] and qemu.gone
    assert qemu.launch is not None and qemu.launch.machine is not None
    machine = qemu.launch.machine
    assert not qemu.launch.env and not qemu.launch.files, "secrets come after the restore"
    assert (machine.kept, machine.waits, machine.template) == (str(staged), True, None)
    look_at(staged)


@with_qemu
async def test_it_is_told_what_to_read_as_far_as_that_fits(qemu: Qemu, staged: Path) -> None:
    reads = [f"0:1:/{number:06}/{'x' * 1000}" for number in range(2000)]
    seen = b""

    @asynccontextmanager
    async def boot(launch: Launch, log: int) -> AsyncIterator[Booting]:
        nonlocal seen
        seen = (staged / "config").read_bytes()
        async with qemu.boot(launch, log) as booting:
            yield booting

    await make(boot, LAUNCH, staged, None, 20.0, reads)
    assert len(seen) == CONFIG_BYTES and seen.startswith(b"FOURFOLD GUEST 1 ")
    told = seen[28:].rstrip(b"\0").decode().split("\0")
    assert told[0] == "wait=1" and told[1:] == [f"read={each}" for each in reads[: len(told) - 1]]
    assert 1000 < len(told) < 2000
    look_at(staged)


def look_at(staged: Path) -> None:
    assert {path.name for path in staged.iterdir()} == {"memory", "state"}
    assert (staged / "state").read_bytes() == b"devices" and (staged / "memory").stat().st_size == 1 << 20
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in staged.iterdir())


@with_qemu
async def test_a_ready_one_is_kept_once_it_is(qemu: Qemu, staged: Path) -> None:
    qemu.reports = ["booted", "started"]
    seen: list[list[str]] = []

    async def ready(machine: Booting) -> None:
        assert machine.control == qemu.folder / "control"
        seen.append(list(qemu.told))

    await make(qemu.boot, LAUNCH, staged, ready, 20.0)
    assert seen == [[]] and qemu.told[-1] == "migrate"
    assert qemu.launch is not None and qemu.launch.machine is not None and not qemu.launch.machine.waits


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reports": ["failed no disk fourfold-0"]}, "the machine failed: no disk fourfold-0 (the last word)"),
        ({"reports": ["booted", ""]}, "ended before it could be kept"),
        ({"reports": ["booted"], "ends": True}, "the machine ended: exit code 1 (the last word)"),
        ({"status": "failed"}, "cannot keep the state of the machine: disk full"),
        ({"refuses": "migrate-set-capabilities"}, "QEMU refuses migrate-set-capabilities: no such thing"),
    ],
)
def test_what_went_wrong_is_told(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    async def run(qemu: Qemu, staged: Path) -> None:
        for name, value in changes.items():
            setattr(qemu, name, value)
        with pytest.raises(WorldError) as failed:
            await make(qemu.boot, LAUNCH, staged, None, 20.0)
        assert message in str(failed.value)
        assert qemu.gone

    with_qemu(run)(tmp_path)


def test_one_that_never_comes_to_it_is_given_up(tmp_path: Path) -> None:
    async def run(qemu: Qemu, staged: Path) -> None:
        qemu.reports = ["booted"]
        with pytest.raises(WorldError, match=r"not there after 0\.05 s"):
            await make(qemu.boot, LAUNCH, staged, None, 0.05)
        assert qemu.gone

    with_qemu(run)(tmp_path)


def test_a_ready_service_that_ends_is_told_at_once(tmp_path: Path) -> None:
    async def run(qemu: Qemu, staged: Path) -> None:
        qemu.reports, qemu.ends = ["booted", "started"], True

        async def never(machine: Booting) -> None:
            await asyncio.Event().wait()

        with pytest.raises(WorldError, match="the machine ended: exit code 1"):
            await make(qemu.boot, LAUNCH, staged, never, 20.0)

    with_qemu(run)(tmp_path)
