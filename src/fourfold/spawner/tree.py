"""All processes of one instance: listed, killed, and what their groups tell afterwards.

With cgroups that is their membership, which no process can leave. Without, it is the session of the main process, its
descendants and whoever carries the marker in its environment: a program that leaves all three escapes.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import dataclass

from fourfold.spawner import process
from fourfold.spawner.process import Stat, read_text


@dataclass(frozen=True)
class Tree:
    main: int
    start_time: int
    cgroups: tuple[str, ...]
    marker: str
    """`FOURFOLD_TREE=…` (see `child.marker`); empty: not to be looked for."""

    def pids(self) -> set[int]:
        """Whoever is alive; zombies do not count."""
        return set().union(*(_members(group) for group in self.cgroups)) if self.cgroups else self._found()

    def kill(self) -> None:
        """SIGKILL to all of them. Call again until `pids` is empty: without cgroup.kill a fork may slip through."""
        if any(_write(f"{group}/cgroup.kill", "1") for group in self.cgroups):
            return
        freezers = [group for group in self.cgroups if _write(f"{group}/freezer.state", "FROZEN")]
        self._kill_each()
        for group in freezers:
            _write(f"{group}/freezer.state", "THAWED")

    def oom_kills(self) -> int:
        """How many processes the kernel has killed for want of memory under this instance's limit."""
        for group in self.cgroups:
            for name in ("memory.events", "memory.oom_control"):  # v2, v1
                for line in (read_text(f"{group}/{name}") or "").splitlines():
                    if line.startswith("oom_kill "):
                        return int(line.split()[1])
        return 0

    def remove_groups(self) -> bool:
        """-> whether all are gone."""
        gone = True
        for group in self.cgroups:
            try:
                os.rmdir(group)
            except FileNotFoundError:
                pass
            except OSError:
                gone = False
        return gone

    def _kill_each(self) -> None:
        opened: dict[int, int] = {}
        for pid in self.pids():
            try:
                opened[pid] = os.pidfd_open(pid)
            except OSError:
                continue
        still = self.pids()  # whoever is a member after its pidfd was opened is the one that the pidfd means
        for pid, fd in opened.items():
            if pid in still:
                with suppress(OSError):
                    signal.pidfd_send_signal(fd, signal.SIGKILL)
            os.close(fd)

    def _found(self) -> set[int]:
        stats = {pid: stat for pid in process.all_pids() if (stat := Stat.of(pid))}
        stats = {
            pid: stat for pid, stat in stats.items() if stat.start_time >= self.start_time and stat.state not in "ZX"
        }
        # Only while the pid means the main process are its descendants ours, not those of one that got it later.
        found = {self.main} if self.main in stats and stats[self.main].start_time == self.start_time else set()
        found |= {pid for pid, stat in stats.items() if stat.session == self.main and self._is_session_ours(stats)}
        found |= {pid for pid in stats if self.marker and _has_variable(pid, self.marker)}
        grown = True
        while grown:
            grown = False
            for pid, stat in stats.items():
                if stat.parent in found and pid not in found:
                    found.add(pid)
                    grown = True
        return found

    def _is_session_ours(self, stats: dict[int, Stat]) -> bool:
        """A pid in use as a session id is not given to a new process; one that was given away has no such session."""
        leader = stats.get(self.main)
        return leader is None or leader.start_time == self.start_time


def _members(group: str) -> set[int]:
    return {int(line) for line in (read_text(f"{group}/cgroup.procs") or "").split()}


def _has_variable(pid: int, variable: str) -> bool:
    return variable in (read_text(f"/proc/{pid}/environ") or "").split("\0")


def _write(path: str, text: str) -> bool:
    """-> whether there is such a file and it took the text. Never makes one."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        os.write(fd, text.encode())
    except OSError:
        return False
    finally:
        os.close(fd)
    return True
