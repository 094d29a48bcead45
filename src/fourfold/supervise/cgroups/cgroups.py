"""Control groups, v2 and v1 (and both at once), behind one small interface.

Each instance has a group `fourfold/<hash of home>/<instance>.<run>` in every hierarchy that we may use: limits are
written and usage is read there, and its membership is the one list of processes that no program can leave. Sources: the
kernel's admin-guide/cgroup-v2.rst and admin-guide/cgroup-v1/*.rst.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fourfold.errors import WorldError
from fourfold.launch.model import Limits
from fourfold.spawner import nested
from fourfold.spawner.process import write_text
from fourfold.supervise.cgroups.counters import Counters, counters

LIMITS = ("cpu", "memory", "pids", "io")
PERIOD = 100_000
"""Microseconds; the kernel's default CPU period."""
_SMALLEST_QUOTA = 1000
MOST_PROCESSES = 4096
"""Of an instance without a limit of its own: a fork bomb must not take the machine's pids."""


@dataclass(frozen=True)
class Hierarchy:
    """One mounted tree and our folder in it."""

    base: Path
    version: int
    controllers: frozenset[str]
    """Of v1: `cpu cpuacct memory pids blkio freezer`; of v2: those enabled for our groups, `cpu memory pids io`."""
    point: Path = Path("/sys/fs/cgroup")
    """Where it is mounted."""


def settings(limits: Limits, hierarchy: Hierarchy, device: str | None) -> list[tuple[str, str]]:
    """(file, content) to write into a group of `hierarchy`. `device` is `major:minor` of the state's disk."""
    table = _settings_v2 if hierarchy.version == 2 else _settings_v1
    return [(name, text) for controller, name, text in table(limits, device) if controller in hierarchy.controllers]


def _settings_v2(limits: Limits, device: str | None) -> Iterator[tuple[str, str, str]]:
    if limits.cpu is not None:
        yield "cpu", "cpu.max", f"{_quota(limits.cpu)} {PERIOD}"
    if limits.cpu_weight is not None:
        yield "cpu", "cpu.weight", str(limits.cpu_weight)
    if limits.memory is not None:
        yield "memory", "memory.max", str(limits.memory)
        yield "memory", "memory.swap.max", "0"
        yield "memory", "memory.oom.group", "1"
    yield "pids", "pids.max", str(limits.pids or MOST_PROCESSES)
    if device and (limits.read_bps or limits.write_bps):
        parts = [("rbps", limits.read_bps), ("wbps", limits.write_bps)]
        yield "io", "io.max", " ".join([device, *(f"{key}={value}" for key, value in parts if value)])


def _settings_v1(limits: Limits, device: str | None) -> Iterator[tuple[str, str, str]]:
    if limits.cpu is not None:
        yield "cpu", "cpu.cfs_period_us", str(PERIOD)
        yield "cpu", "cpu.cfs_quota_us", str(_quota(limits.cpu))
    if limits.cpu_weight is not None:
        yield "cpu", "cpu.shares", str(limits.cpu_weight * 1024 // 100)
    if limits.memory is not None:
        yield "memory", "memory.limit_in_bytes", str(limits.memory)
        yield "memory", "memory.memsw.limit_in_bytes", str(limits.memory)
    yield "pids", "pids.max", str(limits.pids or MOST_PROCESSES)
    if device and limits.read_bps:
        yield "blkio", "blkio.throttle.read_bps_device", f"{device} {limits.read_bps}"
    if device and limits.write_bps:
        yield "blkio", "blkio.throttle.write_bps_device", f"{device} {limits.write_bps}"


_OPTIONAL = ("memory.swap.max", "memory.memsw.limit_in_bytes", "memory.oom.group")
"""Files that not every kernel has: no swap accounting, before 4.19."""


def _quota(cores: float) -> int:
    return max(int(cores * PERIOD), _SMALLEST_QUOTA)


class Groups:
    """The groups of one home. All calls are a few small file operations."""

    def __init__(
        self,
        hierarchies: tuple[Hierarchy, ...],
        device: str | None,
        missing: Mapping[str, str],
        unused: tuple[Path, ...] = (),
    ) -> None:
        """`unused`: our folder in the v1 hierarchies that limit and count nothing here; OCI runtimes use all."""
        self.hierarchies = hierarchies
        self._unused = unused
        self.missing = missing
        """Limit -> why it cannot be enforced."""
        self._device = device

    def create(self, name: str, limits: Limits) -> list[str]:
        """Make the groups of an instance with its limits set. -> their folders. WorldError when the kernel refuses.

        `host/guest`: in the groups of a host, see `divide`.
        """
        folders = []
        try:
            for hierarchy in self._needed(limits, name.rpartition("/")[0]):
                folder = hierarchy.base / name
                folder.mkdir(exist_ok=True, parents="/" in name)
                folders.append(str(folder))
                for file, text in settings(limits, hierarchy, self._device):
                    _set(folder / file, text)
        except OSError as error:
            self.remove(name)
            why = f"{error.filename or 'cgroup'}: {error.strerror}"
            raise WorldError(
                f"cannot limit {name}: {why}", "run `fourfold doctor` to see what this host enforces"
            ) from error
        return folders

    def divide(self, name: str) -> None:
        """Before anything is in it: let there be groups in that of a host. OSError.

        v2: a group with such groups has no processes of its own; the spawner puts the host into a leaf. Where all of it
        has too much memory, only the largest process goes, not everybody's.
        """
        for hierarchy in self.hierarchies:
            folder = hierarchy.base / name
            if hierarchy.version == 2 and hierarchy.controllers:
                _set(folder / "cgroup.subtree_control", " ".join(f"+{each}" for each in sorted(hierarchy.controllers)))
                if "memory" in hierarchy.controllers:
                    _set(folder / "memory.oom.group", "0")

    def create_one(self, name: str) -> str:
        """A group without limits, in one hierarchy: enough to find and to kill what is in it. WorldError."""
        ranked = sorted(self.hierarchies, key=lambda each: (-each.version, "freezer" not in each.controllers))
        folder = ranked[0].base / name
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise WorldError(f"cannot make the group {folder}: {error.strerror}") from error
        return str(folder)

    def everywhere(self, name: str) -> list[str]:
        """Its folders in all hierarchies, used or not, whether they are there or not; those with members first."""
        return [str(base / name) for base in self._bases()]

    def _bases(self) -> tuple[Path, ...]:
        return (*(hierarchy.base for hierarchy in self.hierarchies), *self._unused)

    def path(self, name: str) -> str | None:
        """Of that group in each hierarchy, as runtimes want it: `/fourfold/…`. None: it is not the same in all."""
        paths = {"/" + str(each.base.relative_to(each.point)) for each in self.hierarchies}
        return f"{paths.pop()}/{name}" if len(paths) == 1 else None

    def unified_beside_v1(self) -> Path | None:
        """Mount point of a v2 tree where v1 has the controllers (systemd's hybrid mode)."""
        versions = {each.version: each.point for each in self.hierarchies}
        return versions[2] if len(versions) == 2 else None

    def _needed(self, limits: Limits, outer: str = "") -> list[Hierarchy]:
        """Each group costs a start some 0.1 ms: of v1 only those that count or limit something.

        `outer`: the group of a host that it is in, whose hierarchies it has all; empty: none.
        """
        used = {
            "cpu",
            "cpuacct",
            "memory",
            "pids",
        }  # cpu without a limit too: groups share fairly, a hog's threads do not
        used |= {"blkio"} if limits.read_bps or limits.write_bps else set()
        used |= set() if self._has_kill() else {"freezer"}
        return [
            each
            for each in self.hierarchies
            if each.version == 2 or each.controllers & used or (outer and (each.base / outer).is_dir())
        ]

    def _has_kill(self) -> bool:
        """Whether a whole group can be killed at once (Linux 5.14), so that none has to be frozen for it."""
        return any((each.base / "cgroup.kill").exists() for each in self.hierarchies if each.version == 2)

    def close(self) -> None:
        """Leave no trace of a home that runs nothing."""
        for base in self._bases():
            with suppress(OSError):  # not empty: instances go on
                base.rmdir()

    def folders(self, name: str) -> list[str]:
        """Those that it has."""
        folders = (hierarchy.base / name for hierarchy in self.hierarchies)
        return [str(folder) for folder in folders if folder.is_dir()]

    def kill(self, name: str) -> None:
        """SIGKILL to all members: by cgroup.kill where there is one, else one by one."""
        folders = [str(base / name) for base in self._bases()]
        killed = [write_text(f"{folder}/cgroup.kill", "1") for folder in folders]
        if not any(killed):
            self._kill_each(name)
        for folder in folders:
            for inner in nested.with_inner(folder):  # v1's frozen processes do not even die
                write_text(f"{inner}/freezer.state", "THAWED")

    def _kill_each(self, name: str) -> None:
        for pid in self.pids(name):
            with suppress(OSError):
                fd = os.pidfd_open(pid)
                try:
                    if pid in self.pids(name):  # still a member after opening: the pidfd means it, not a later process
                        signal.pidfd_send_signal(fd, signal.SIGKILL)
                finally:
                    os.close(fd)

    async def remove_when_empty(self, name: str, patience: float = 10.0) -> None:
        """Members need a moment to die; the kernel has no event for it in v1."""
        deadline = asyncio.get_running_loop().time() + patience
        while not self.remove(name) and asyncio.get_running_loop().time() < deadline:
            self.kill(name)
            await asyncio.sleep(0.01)

    def names(self) -> set[str]:
        """Groups that are there, of living and dead instances."""
        found: set[str] = set()
        for base in self._bases():
            with suppress(OSError):
                found.update(entry.name for entry in base.iterdir() if entry.is_dir())
        return found

    def pids(self, name: str) -> set[int]:
        """All of its groups have the same members."""
        for hierarchy in self.hierarchies:
            if found := nested.members(f"{hierarchy.base}/{name}"):
                return found
        return set()

    def counters(self, name: str) -> Counters:
        return counters(self.hierarchies, name)

    def hasten_moves(self, proc: Path = Path("/proc")) -> None:
        """Whoever moves a process to another group in the next 10 ms need not wait for it.

        A move waits until every CPU has passed a quiet point (a grace period of RCU, 10 ms and more), unless there was
        one just before. A runtime moves its container: by a move of our own, to where we are, we wait beside it.
        """
        own = own_group(proc)
        for hierarchy in self.hierarchies:
            if hierarchy.version == 2 and own is not None:
                with suppress(OSError):
                    _set(hierarchy.point / own / "cgroup.procs", "0")

    def remove(self, name: str) -> bool:
        """-> whether all of its groups are gone; a group with living processes stays."""
        return all([nested.remove(str(base / name)) for base in self._bases()])  # noqa: C419


def own_group(proc: Path) -> Path | None:
    """Our v2 group, relative to the mount point."""
    for line in (proc / "self/cgroup").read_text().splitlines():
        if line.startswith("0::"):
            return Path(line[3:].lstrip("/"))
    return None


def _set(path: Path, text: str) -> None:
    if path.name in _OPTIONAL and not path.exists():
        return
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)  # never O_CREAT: a missing file is an error, in a fake tree too
    try:
        os.write(fd, text.encode())
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        os.close(fd)
