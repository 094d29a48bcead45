"""All processes of one instance: listed, killed, and what their groups tell afterwards.

With cgroups that is their membership, which no process can leave. Without, it is the session of the main process, its
descendants and whoever carries the marker in its environment: a program that leaves all three escapes.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from functools import cache

from fourfold.spawner import nested, process
from fourfold.spawner.process import read_text, write_text
from fourfold.spawner.processes import Processes


@dataclass(frozen=True)
class Tree:
    main: int
    start_time: int
    cgroups: tuple[str, ...]
    marker: str
    """`FOURFOLD_TREE=…` (see `processes.MARKER`); empty: not to be looked for."""
    processes: Processes
    runtime_cgroups: tuple[str, ...] = ()
    """Where the runtime of the main process runs; what it starts may be in there or in `cgroups`."""

    @property
    def cost(self) -> float:
        """Seconds that `pids` takes, if they matter."""
        return 0.0 if self.cgroups else self.processes.cost

    def pids(self, since: float) -> set[int]:
        """Whoever is alive, seen after `since` (monotonic); zombies do not count. All groups have the same members."""
        if not self.cgroups:
            return self._found(since)
        members = nested.members(self.cgroups[0])
        return members | nested.members(self.runtime_cgroups[0]) if self.runtime_cgroups else members

    def kill(self, since: float) -> None:
        """SIGKILL to all of them. Call again until `pids` is empty: without cgroup.kill a fork may slip through."""
        groups = (*self.runtime_cgroups, *self.cgroups)
        for group in groups:
            for inner in nested.with_inner(group):
                if inner != group:  # a thousand sandboxed processes with a twentieth of a core take long to die
                    _ = write_text(f"{inner}/cpu.cfs_quota_us", "-1") or write_text(f"{inner}/cpu.max", "max")
        killed = [write_text(f"{group}/cgroup.kill", "1") for group in groups]
        if not any(killed):
            for group in groups:
                write_text(f"{group}/freezer.state", "FROZEN")
            self._kill_each(since)
        for group in groups:
            for folder in nested.with_inner(group):  # who is frozen in v1, by whomever, does not even die
                write_text(f"{folder}/freezer.state", "THAWED")

    def oom_kills(self) -> int:
        return oom_kills(self.cgroups)

    def cpu_seconds(self) -> float | None:
        """That all who ever were in its groups have taken; None: it has none that count."""
        for group in self.cgroups:
            if (usage := read_text(f"{group}/cpuacct.usage")) is not None:  # v1: nanoseconds
                return int(usage) / 1e9
            for line in (read_text(f"{group}/cpu.stat") or "").splitlines():
                if line.startswith("usage_usec "):  # v2, which counts it without the controller too
                    return int(line.split()[1]) / 1e6
        return None

    def remove_groups(self) -> bool:
        """-> whether all are gone."""
        return all([nested.remove(group) for group in (*self.runtime_cgroups, *self.cgroups)])  # noqa: C419

    def _kill_each(self, since: float) -> None:
        if not self.cgroups:
            for pid in self._found(since):
                _kill_exactly(pid, self.processes.living[pid].start_time)
            return
        opened: dict[int, int] = {}
        for pid in self.pids(since):
            try:
                opened[pid] = os.pidfd_open(pid)
            except OSError:
                continue
        still = self.pids(since)  # whoever is a member after its pidfd was opened is the one that the pidfd means
        for pid, fd in opened.items():
            if pid in still:
                with suppress(OSError):
                    signal.pidfd_send_signal(fd, signal.SIGKILL)
            os.close(fd)

    def _found(self, since: float) -> set[int]:
        self.processes.look(since)
        living = self.processes.living
        main = living.get(self.main)
        # Only while the pid means the main process are its descendants ours, not those of one that got it later.
        is_main = main is not None and main.start_time == self.start_time
        found = [self.main] if is_main else []
        # A pid in use as a session id is not given to a new process; one that was given away has no such session.
        found += self.processes.of_session(self.main) if is_main or main is None else []
        found += self.processes.marked(self.marker, self.start_time) if self.marker else []
        found = [pid for pid in found if living[pid].start_time >= self.start_time]
        return self.processes.with_descendants(found)


def _kill_exactly(pid: int, start_time: int) -> None:
    fd = process.open_exactly(pid, start_time)
    if fd is not None:
        with suppress(OSError):
            signal.pidfd_send_signal(fd, signal.SIGKILL)
        os.close(fd)


@cache
def _memory_file(base: str) -> str:
    """Which file of groups in there counts who was killed; empty: none does."""
    names = ("memory.events", "memory.oom_control")  # v2, v1
    return next((name for name in names if os.path.exists(f"{base}/{name}")), "")


def oom_kills(cgroups: tuple[str, ...]) -> int:
    """How many processes the kernel has killed for want of memory under the limit of these groups."""
    for group in cgroups:
        if name := _memory_file(os.path.dirname(group)):
            for line in (read_text(f"{group}/{name}") or "").splitlines():
                if line.startswith("oom_kill "):
                    return int(line.split()[1])
    return 0
