"""Virtual machines: a Launch with one as the spawner's request, and the connections to the guests that run.

`run/machines/INSTANCE.RUN` is of one start alone (`supervise.folders`): sockets, and what the guest reports. Files that
QEMU reads, secrets among them, are in memory and seen by nobody else (`spawner.bundle`).
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from fourfold.errors import FourfoldError, WorldError
from fourfold.launch import qemu, template
from fourfold.launch.common import SYSTEM_PATH
from fourfold.launch.model import Bridge, Launch, Machine
from fourfold.spawner.handover import REPORT_BYTES
from fourfold.spawner.netlink import hardware_address, mtu
from fourfold.spawner.process import read_end
from fourfold.spawner.request import BUNDLE, HOW_IT_ENDED
from fourfold.supervise.folders import Folders
from fourfold.supervise.machines import accelerators
from fourfold.supervise.machines.guest import Guest, GuestUsage, silent
from fourfold.supervise.machines.sessions import Session

log = logging.getLogger(__name__)

_BUNDLE_BYTES = 16 * 1024 * 1024
_SEED_BYTES = 64
BOOT_SECONDS = 300.0
"""In which a guest has to be there; whoever waits for the service gives up long before."""
_ANSWER_SECONDS = 10.0
_CLOCK_SECONDS = 600.0
"""Between two times at which a guest is told what time it is: its clock is its own."""
_IDLE = ("idle", "1")
_ITSELF = "/proc/self/exe"
"""Of whom starts it: the guest, also where PID 1 is another."""
_QEMUS_OPTIONS = "cache=auto,timeout=0,posix_lock,flock,xattr,log_level=err,modcaps=-mknod:-setfcap"
"""What one instance writes the others see at once, and their locks count for each other. A page cache stays allowed: no
shared mappings without. Device files and files with capabilities are not for guests to make on this host."""
_OPTIONS = ("--cache=never", "--xattr", "--log-level=error", "--modcaps=-mknod:-setfcap")
"""The same of the virtiofsd in Rust, which keeps what it cached for a second or not at all, and has no locks."""
_MAPPED = "--allow-mmap"
"""Shared mappings without a cache: newer ones allow them, that of Ubuntu 24.04 does not."""


class Machines:
    """The folders of one home, what is asked of the spawner for them, and one connection to each."""

    def __init__(self, folder: Path, hidden: Sequence[Path]) -> None:
        """`folder`: `paths.machines`. `hidden`: what QEMU is not to see."""
        self._folders = Folders(folder)
        self._hidden = [os.path.realpath(each) for each in hidden]
        self._guests: dict[str, Guest] = {}
        self._keepers: dict[str, asyncio.Task[None]] = {}
        self._connecting: dict[str, asyncio.Lock] = {}

    # folders

    def make(self, name: str) -> None:
        """The folder of one start. WorldError."""
        self._folders.make(name, BUNDLE)

    def remove(self, name: str) -> None:
        self.forget(name)
        self._folders.remove(name)

    def clear(self, kept: Collection[str]) -> None:
        self._folders.clear(kept)

    def folder(self, name: str) -> Path:
        return self._folders.path(name)

    def has(self, name: str) -> bool:
        """Whether that is a machine whose process has not ended."""
        return self._control(name).exists()

    def _control(self, name: str) -> Path:
        return self._folders.path(name) / qemu.CONTROL

    # starting

    def starting(
        self, launch: Launch, machine: Machine, env: Mapping[str, str], files: Iterable[tuple[str, str]], name: str
    ) -> dict[str, Any]:
        """The keys of a spawn request that differ from a plain program's. WorldError: no such bridge."""
        bridge = launch.network if isinstance(launch.network, Bridge) else None
        mac = hardware_address(bridge.address.partition("/")[0]).hex(":") if bridge is not None else qemu.APART_MAC
        config = qemu.configuration(_entries(launch, machine, env, files, bridge, mac))
        machine = _told(machine, config)
        plugs = qemu.plugs(machine, HOW_IT_ENDED)
        templated = template.binds(machine)
        owner = machine.owner
        return {
            "argv": list(qemu.command(machine, launch.instance, mac, plugs)),
            "env": {"PATH": SYSTEM_PATH},
            "user": vars(owner) if owner is not None else None,
            "mounts": [],
            "files": [],
            "private": False,
            "bundle": {
                "folder": str(self._folders.path(name)),
                "files": [(qemu.CONFIG, config)] if machine.kept is None else [],
                "overlays": {},
                "points": [],
                "size": _BUNDLE_BYTES,
                "unmounted": [],
                "cgroups": [],
                "leaves": False,
                "binds": _files(machine) | templated,
                "written": list(templated),
                "fifos": template.fifos(machine, plugs.state),
                "opened": list(plugs.opened),
                "helpers": _helpers(machine),
                "groups": [accelerators.KVM.stat().st_gid] if machine.accelerator == "kvm" else [],
                "hidden": self._hidden,
                "as_user": True,
                "reports": True,
                # QEMU asks for huge ones, and with each takes 2 MiB for the first byte: see ARCHITECTURE.md.
                "small_pages": machine.accelerator == "tcg",
            },
        }

    # guests

    def watch(self, name: str) -> None:
        """Keep a connection to one that runs, and its clock right."""
        if name not in self._keepers:
            keeper = asyncio.get_running_loop().create_task(self._keep(name), name=f"guest {name}")
            self._keepers[name] = keeper

    def forget(self, name: str) -> None:
        """It has ended."""
        if keeper := self._keepers.pop(name, None):
            keeper.cancel()
        self._connecting.pop(name, None)

    async def close(self) -> None:
        keepers = list(self._keepers.values())
        for name in list(self._keepers):
            self.forget(name)
        await asyncio.gather(*keepers, return_exceptions=True)
        self._folders.close()

    async def guest(self, name: str, patience: float = _ANSWER_SECONDS) -> Guest:
        """WorldError: it does not answer within `patience` seconds, also where somebody else waits for it longer."""
        try:
            async with asyncio.timeout(patience), self._connecting.setdefault(name, asyncio.Lock()):
                known = self._guests.get(name)
                if known is None or known.closed.is_set():
                    known = self._guests[name] = await Guest.connect(self._control(name), patience)
                return known
        except TimeoutError as error:
            raise silent(self._control(name)) from error

    def has_started(self, name: str) -> bool:
        """Whether its service has been started: before that there is nothing in it to signal."""
        return "started" in self._reported(name)

    async def signal(self, name: str, signal: str) -> None:
        """To its service. WorldError."""
        await (await self.guest(name)).signal(signal)

    async def usage(self, name: str) -> GuestUsage | None:
        """From inside, if it can be asked at once."""
        known = self._guests.get(name)
        if known is None or known.closed.is_set():
            return None
        with suppress(WorldError):
            return await known.usage()
        return None

    async def reads(self, name: str) -> list[str]:
        """What of its root's files is in its memory: the values of `read` in `guest/README.md`. WorldError."""
        session = await (await self.guest(name)).execute([_ITSELF, "reads"], {}, "/", None)
        said = bytearray()
        try:
            while len(said) < template.CONFIG_BYTES and (piece := await session.read()) is not None:
                said += piece[1] if piece[0] == 1 else b""
        finally:
            await session.close()
        whole = said.rpartition(b"\0")[0].decode(errors="surrogateescape")
        return [value for key, _, value in (each.partition("=") for each in whole.split("\0")) if key == "read"]

    async def execute(self, launch: Launch, machine: Machine, env: Mapping[str, str], name: str, tty: bool) -> Session:
        """Run `launch.argv` beside its service. WorldError."""
        guest = await self.guest(name)
        groups = [int(each) for key, value in machine.guest if key == "groups" for each in value.split(",")]
        return await guest.execute(launch.argv, env, launch.cwd, launch.user, groups, tty)

    async def _keep(self, name: str) -> None:
        try:
            while self.has(name):
                with suppress(WorldError):
                    guest = await self.guest(name, BOOT_SECONDS)
                    await guest.set_time(time.time())
                    with suppress(TimeoutError):
                        await asyncio.wait_for(guest.closed.wait(), _CLOCK_SECONDS)
                await asyncio.sleep(_RETRY_SECONDS)
        except FourfoldError as error:
            log.error("%s", error)
        finally:
            if (guest_ := self._guests.pop(name, None)) is not None:
                await guest_.close()

    def _reported(self, name: str) -> list[str]:
        return (read_end(str(self._folders.path(name) / HOW_IT_ENDED), REPORT_BYTES) or "").splitlines()


_RETRY_SECONDS = 1.0


def idle(machine: Machine) -> tuple[tuple[str, str], ...]:
    """What a guest is told that runs no service of its own: others run in it."""
    return (*machine.guest, _IDLE)


def _told(machine: Machine, config: str) -> Machine:
    """A template's configuration is in a file of its own; its clones cannot read more than fits there. WorldError."""
    raw = config.encode(errors="surrogateescape")
    if machine.kept is not None and not machine.waits:
        try:
            with (Path(machine.kept) / template.CONFIG).open("r+b") as disk:
                disk.write(raw)
        except OSError as error:
            raise WorldError(f"cannot write the configuration of a template: {error.strerror}") from error
    return replace(machine, template=None) if len(raw) > template.CONFIG_BYTES else machine


def _files(machine: Machine) -> dict[str, str]:
    files = {qemu.KERNEL: machine.kernel, qemu.INITRD: machine.initrd}
    files |= {f"disk{number}": disk for number, disk in enumerate(machine.disks)}
    files |= {qemu.FORWARD: machine.forwarded.program} if machine.forwarded is not None else {}
    return {name: os.path.realpath(path) for name, path in files.items()}


def _helpers(machine: Machine) -> dict[str, list[str]]:
    """The programs that serve its shares. WorldError: there are none."""
    if not machine.shares:
        return {}
    program = accelerators.virtiofsd()
    if program is None:
        raise WorldError("cannot share a folder with a virtual machine: virtiofsd is not installed")
    return {
        qemu.share_tag(number): [program, "--fd=3", *_serving(program, os.path.realpath(share.source))]
        for number, share in enumerate(machine.shares)
    }


def _serving(program: str, folder: str) -> Sequence[str]:
    if program == accelerators.QEMUS_VIRTIOFSD:
        return ("-f", "-o", f"source={folder},{_QEMUS_OPTIONS}")
    mapped = (_MAPPED,) if _MAPPED in accelerators.help_of(program) else ()
    return (f"--shared-dir={folder}", *_OPTIONS, *mapped)


def _entries(
    launch: Launch,
    machine: Machine,
    env: Mapping[str, str],
    files: Iterable[tuple[str, str]],
    bridge: Bridge | None,
    mac: str,
) -> list[tuple[str, str]]:
    """What the guest is told, as guest/README.md has it."""
    user = launch.user
    uid, gid = (user.uid, user.gid) if user is not None else (0, 0)
    entries = [*machine.guest]
    if bridge is not None:
        entries += _on_bridge(launch.instance, bridge, mac)
    elif machine.forwarded is not None:
        entries += [("mac", mac), ("address", qemu.FORWARDED_ADDRESS)]
    entries += [("time", f"{time.time():.6f}"), ("seed", os.urandom(_SEED_BYTES).hex())]
    entries += [("argv", word) for word in launch.argv]
    entries += [("env", f"{name}={value}") for name, value in env.items()]
    entries += [("cwd", launch.cwd), ("uid", str(uid)), ("gid", str(gid))]
    entries += [("file", f"{path}:600:{uid}:{gid}:{content}") for path, content in files]
    entries += [
        ("share", f"{qemu.share_tag(number)}:{share.target}:{'ro' if share.read_only else 'rw'}")
        for number, share in enumerate(machine.shares)
    ]
    return entries


def _on_bridge(instance: str, bridge: Bridge, mac: str) -> list[tuple[str, str]]:
    try:
        size = mtu(bridge.name)
    except OSError as error:
        raise WorldError(f"cannot start {instance}: the bridge {bridge.name} is not there") from error
    return [("mac", mac), ("address", bridge.address), ("gateway", bridge.gateway), ("mtu", str(size))]


_NO_COMMAND = re.compile(r"failed cannot run (.+): No such file or directory")
_PANIC = re.compile(r"Kernel panic - not syncing: ([^\n\r]+)")
_QEMU = re.compile(r"^qemu[-\w]*: (?!warning|terminating)(.+)$", re.MULTILINE)


def words_of(said: str, tail: str) -> str:
    """How a machine ended that did not tell how its service did.

    `said`: what it reported last, `; ` and QEMU's exit code (`spawner.handover.Reported`); `tail`: the end of its log.
    """
    last, _, code = said.rpartition("; ")
    if no_command := _NO_COMMAND.fullmatch(last):
        return f"no such command {no_command[1]!r} in its virtual machine"
    if last.startswith("failed "):
        return f"its virtual machine could not run it: {last.removeprefix('failed ')}"
    if panic := _PANIC.findall(tail):
        return f"the kernel of its virtual machine panicked: {panic[-1].strip()}"
    if code not in ("0", "unknown"):
        words = _QEMU.findall(tail)
        return f"QEMU ended with exit code {code}" + (f": {words[-1].strip()}" if words else "")
    when = "while the service ran" if last == "started" else "before the service was started"
    return f"its virtual machine ended {when}"
