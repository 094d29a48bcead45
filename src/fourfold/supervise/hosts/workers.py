"""Processes of hosts and of their guests: whose a pid is, and a control group of its own for each worker.

A host is not trusted: what it says is the pid of a guest is only taken for one when it is in the host's own group;
where there are no control groups, when it descends from the host.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from fourfold.launch.model import Limits
from fourfold.spawner.child import LEAF
from fourfold.spawner.process import Stat, open_exactly, read_text
from fourfold.spawner.processes import Processes
from fourfold.spawner.tree import oom_kills
from fourfold.supervise.cgroups.cgroups import PERIOD, Groups
from fourfold.supervise.cgroups.counters import Counters
from fourfold.supervise.cgroups.usage import measure
from fourfold.supervise.model import Identity, Usage

_MOST_ROUNDS = 8
_GOOD_ENOUGH = 1.0
"""Seconds that a look at all processes serves for measuring."""


class Workers:
    """`host` is the name of the host's group, `name` that of a guest's in there."""

    def __init__(self, groups: Callable[[], Groups], boot_id: str) -> None:
        self._groups = groups
        self._boot_id = boot_id
        self._processes = Processes()

    def belongs(self, host: str, main: Identity, pid: int) -> bool:
        """Whether a process is of that host, whose main process is `main`."""
        if pid == main.pid:
            return True
        if self._groups().hierarchies:
            return pid in self._groups().pids(host)
        return pid in self._below(main, time.monotonic())

    def identify(self, host: str, main: Identity, pid: int) -> Identity | None:
        """None: a process, and none of that host. What has ended may have been."""
        if pid == main.pid:
            return main
        for _ in range(2):  # it may end while we look
            stat = Stat.of(pid)
            if stat is None or stat.state in "ZX":
                return Identity(pid, stat.start_time if stat else 0, self._boot_id)
            if self.belongs(host, main, pid):
                return Identity(pid, stat.start_time, self._boot_id)
        return None

    def confine(self, host: str, name: str, worker: Identity, limits: Limits) -> None:
        """Into a group of its own, with what it has started. WorldError; nothing where there are no groups."""
        groups, group = self._groups(), f"{host}/{name}"
        if not groups.hierarchies:
            return
        folders = groups.create(group, self._below_all(host, limits))
        fd = open_exactly(worker.pid, worker.start_time)
        if fd is None:
            return  # it has ended already
        try:
            moving = {worker.pid}
            for _ in range(_MOST_ROUNDS):  # whom it forked before it was moved, those fork on
                for pid in moving & groups.pids(host):
                    _move(pid, folders)
                self._processes.look(time.monotonic())
                moving = self._processes.with_descendants([worker.pid]) - groups.pids(group)
                if not moving or _has_ended(fd):
                    return
        finally:
            os.close(fd)

    def usage(self, host: str, name: str, worker: Identity) -> Usage:
        group = f"{host}/{name}"
        if self._groups().folders(group):
            return measure(self._groups().pids(group), self._groups().counters(group))
        return measure(self._below(worker, time.monotonic() - _GOOD_ENOUGH), Counters())

    def kill(self, host: str, name: str, worker: Identity) -> None:
        """SIGKILL to it and whoever is in its group."""
        fd = open_exactly(worker.pid, worker.start_time)
        if fd is not None:
            try:
                with suppress(OSError):
                    signal.pidfd_send_signal(fd, signal.SIGKILL)
            finally:
                os.close(fd)
        self._groups().kill(f"{host}/{name}")

    def memory_kills(self, host: str, name: str = "") -> int:
        """How many processes the kernel has killed for want of memory: of a guest, or of a host without guests."""
        folders = self._groups().folders(f"{host}/{name}")
        return oom_kills((*(f"{folder}{LEAF}" for folder in folders), *folders))

    async def clear(self, host: str, name: str) -> None:
        """It has ended: what it left behind ends, and its group goes."""
        if self._groups().folders(f"{host}/{name}"):
            await self._groups().remove_when_empty(f"{host}/{name}")

    def folders(self, host: str, name: str) -> list[str]:
        """Of its groups, or else of its host's."""
        return self._groups().folders(f"{host}/{name}") or self._groups().folders(host)

    def _below(self, main: Identity, since: float) -> set[int]:
        self._processes.look(since)
        stat = self._processes.living.get(main.pid)
        if stat is None or stat.start_time != main.start_time:
            return set()
        return self._processes.with_descendants([main.pid, *self._processes.of_session(main.pid)])

    def _below_all(self, host: str, limits: Limits) -> Limits:
        """v1 refuses a group more of the CPU than the one that it is in has."""
        for folder in self._groups().folders(host):
            quota = (read_text(f"{folder}/cpu.cfs_quota_us") or "").strip()
            if limits.cpu is not None and quota.isdigit():
                return replace(limits, cpu=min(limits.cpu, int(quota) / PERIOD))
        return limits


def _move(pid: int, folders: list[str]) -> None:
    for folder in folders:
        with suppress(OSError):  # it has ended
            Path(folder, "cgroup.procs").write_text(str(pid))


def _has_ended(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))
