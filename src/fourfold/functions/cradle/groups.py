"""Control groups of sandboxes, below that of their invoker, in which the supervisor has started it.

v2 first for freezing (its frozen processes can be killed), v1 for whatever it has the controllers of. In a v2 group
with controllers the invoker moves into a leaf (the no-inner-processes rule). Sources: the kernel's
admin-guide/cgroup-v2.rst and admin-guide/cgroup-v1/*.rst.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from fourfold.functions.cradle.protocol import Group
from fourfold.functions.model import FULL_CORE, PIDS
from fourfold.spawner import nested
from fourfold.spawner.process import read_text
from fourfold.spawner.tree import oom_kills

_OURS = re.compile(r"/fourfold/[0-9a-f]{12}/[^/]+$")
"""Of an instance that the supervisor has started (`supervise/cgroups/cgroups.py`); others' groups are left alone."""
PERIOD = 100_000
"""Microseconds; the kernel's default CPU period."""
_USED = ("cpu", "cpuacct", "memory", "pids", "freezer")
_LIMITS = ("cpu", "memory", "pids", "freezer")
LEAF = "invoker"


def quota(memory: int) -> int:
    """Microseconds of CPU in each PERIOD."""
    return max(memory * PERIOD // FULL_CORE, 1000)


@dataclass(frozen=True)
class Hierarchy:
    own: str
    """Folder of the invoker's group."""
    version: int
    controllers: frozenset[str]


@dataclass
class Groups:
    hierarchies: list[Hierarchy] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)

    def make(self, name: str, memory: int, entitled: int) -> Group:
        """With all limits but that of CPU, which is a core or more until the program is up. OSError.

        `entitled`: the bytes that its CPU comes with.
        """
        group = Group()
        for hierarchy in self.hierarchies:
            folder = f"{hierarchy.own}/{name}"
            with suppress(FileExistsError):
                os.mkdir(folder)
            group.folders.append(folder)
            for file, text in _settings(hierarchy, memory, entitled):
                _set(f"{folder}/{file}", text)
            _note(group, hierarchy, folder, entitled)
        return group

    def open_joins(self, group: Group) -> list[int]:
        """Descriptors that whoever writes `0` to joins by, with the rights of us who opened them. v1: `tasks`, for
        `cgroup.procs` would wait for every CPU."""
        opened = []
        for folder in group.folders:
            try:
                opened.append(os.open(f"{folder}/tasks", os.O_WRONLY | os.O_CLOEXEC))
            except FileNotFoundError:
                opened.append(os.open(f"{folder}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC))
        return opened

    def v2_folder(self, group: Group) -> str | None:
        versions = zip(self.hierarchies, group.folders, strict=True)
        return next((folder for hierarchy, folder in versions if hierarchy.version == 2), None)


def freeze(group: Group, frozen: bool) -> None:
    """Let nothing in there run, from a little after this returns, or let it again."""
    if group.freeze:
        words = ("0", "1") if group.freeze.endswith(".freeze") else ("THAWED", "FROZEN")
        with suppress(OSError):
            _set(group.freeze, words[frozen])


def let_die(group: Group) -> None:
    """v1's frozen processes do not even die; and many would take long with little CPU."""
    with suppress(OSError):
        if group.quota:
            _set(group.quota, "-1" if group.quota.endswith("_us") else "max")
    freeze(group, False)


def kill(group: Group, but: int = 0) -> None:
    """Whoever is in there: those who join by themselves may bring others, or stay where they were."""
    for folder in group.folders:
        for pid in nested.members(folder) - {but}:
            with suppress(OSError):
                fd = os.pidfd_open(pid)
                try:
                    if pid in nested.members(folder):  # still: the pidfd means it, not a later process
                        signal.pidfd_send_signal(fd, signal.SIGKILL)
                finally:
                    os.close(fd)


def holds(group: Group, pid: int) -> bool:
    """Whether that process is in all of them: it joins by itself, and may leave that out. Format: cgroups(7)."""
    names = {"/".join(folder.rsplit("/", 2)[1:]) for folder in group.folders}  # one: the same in each hierarchy
    lines = (read_text(f"/proc/{pid}/cgroup") or "").splitlines()
    return sum(line.endswith(f"/{name}") for name in names for line in lines) == len(group.folders)


def killed_for_memory(group: Group) -> bool:
    return oom_kills(tuple(group.folders)) > 0


def remove(group: Group) -> bool:
    """-> whether it is gone."""
    gone = [nested.remove(folder) for folder in group.folders]  # all of them, also after one that stays
    return all(gone)


def find(proc: str = "/proc") -> Groups:
    """Those of ours; our own processes are moved into a leaf where that is needed."""
    groups = Groups()
    mounts = list(_mounts(f"{proc}/self/mountinfo"))
    own = dict(_own(f"{proc}/self/cgroup"))
    unified = next(((point, root) for kind, point, root, _ in mounts if kind == "cgroup2"), None)
    if unified is not None and (folder := _folder(*unified, own.get("", ""))) is not None:
        enabled = _enable(folder)
        enabled |= {"freezer"} if os.path.exists(f"{folder}/cgroup.freeze") else set()
        groups.hierarchies.append(Hierarchy(folder, 2, frozenset(enabled)))
    covered = {name for hierarchy in groups.hierarchies for name in hierarchy.controllers}
    for kind, point, root, options in mounts:
        names = {name for name in _USED if name in options and name not in covered} if kind == "cgroup" else set()
        folder = _folder(point, root, next((own[name] for name in names if name in own), "")) if names else None
        if folder is not None and all(folder != each.own for each in groups.hierarchies):
            groups.hierarchies.append(Hierarchy(folder, 1, frozenset(names)))
            covered |= names
    for name in _LIMITS:
        if name not in covered:
            groups.missing[name] = f"the invoker has no group of its own with the {name} controller"
    return groups


def _settings(hierarchy: Hierarchy, memory: int, entitled: int) -> Iterator[tuple[str, str]]:
    names, v2 = hierarchy.controllers, hierarchy.version == 2
    if "memory" in names and v2:
        yield from (("memory.max", str(memory)), ("memory.swap.max", "0"), ("memory.oom.group", "1"))
    elif "memory" in names:
        yield from (("memory.limit_in_bytes", str(memory)), ("memory.memsw.limit_in_bytes", str(memory)))
    if "pids" in names:
        yield "pids.max", str(PIDS)
    if "cpu" in names:
        amount = max(PERIOD, quota(entitled))
        yield ("cpu.max", f"{amount} {PERIOD}") if v2 else ("cpu.cfs_quota_us", str(amount))


def _note(group: Group, hierarchy: Hierarchy, folder: str, entitled: int) -> None:
    """Where the invoker finds what it writes and reads between events."""
    names, v2 = hierarchy.controllers, hierarchy.version == 2
    if "freezer" in names:
        group.freeze = f"{folder}/cgroup.freeze" if v2 else f"{folder}/freezer.state"
    if "cpu" in names:
        group.quota = f"{folder}/cpu.max" if v2 else f"{folder}/cpu.cfs_quota_us"
        group.share = f"{quota(entitled)} {PERIOD}" if v2 else str(quota(entitled))
    if "memory" in names:
        group.peak = f"{folder}/memory.peak" if v2 else f"{folder}/memory.max_usage_in_bytes"
        group.memory = f"{folder}/memory.current" if v2 else f"{folder}/memory.usage_in_bytes"
    if "cpuacct" in names or (v2 and not group.cpu):
        group.cpu = f"{folder}/cpu.stat" if v2 else f"{folder}/cpuacct.usage"


def _enable(folder: str) -> set[str]:
    """Let groups in there have controllers. -> those that they have."""
    available = set((read_text(f"{folder}/cgroup.controllers") or "").split()) & {"cpu", "memory", "pids"}
    if not available:
        return set()
    leaf = f"{folder}/{LEAF}"
    with suppress(FileExistsError):
        os.mkdir(leaf)
    for pid in (read_text(f"{folder}/cgroup.procs") or "").split():
        with suppress(OSError):
            _set(f"{leaf}/cgroup.procs", pid)
    control = f"{folder}/cgroup.subtree_control"
    for name in available - set((read_text(control) or "").split()):
        with suppress(OSError):
            _set(control, f"+{name}")
    return set((read_text(control) or "").split()) & available


def _folder(point: str, root: str, path: str) -> str | None:
    """Of our group in a mounted hierarchy; None when it is not one of ours, or not below that mount."""
    if not _OURS.search(path) or not path.startswith(root):
        return None
    folder = f"{point}/{path[len(root) :].lstrip('/')}"
    return folder if os.path.isdir(folder) else None


def _own(path: str) -> Iterator[tuple[str, str]]:
    """(controller, path) of /proc/self/cgroup (cgroups(7)); v2 has none, and is named ``."""
    for line in (read_text(path) or "").splitlines():
        _, names, group = line.split(":", 2)
        yield from ((name, group) for name in names.split(","))


def _mounts(path: str) -> Iterator[tuple[str, str, str, set[str]]]:
    """(kind, mount point, root, options) of the mounts of control groups in mountinfo (proc(5))."""
    for line in (read_text(path) or "").splitlines():
        left, _, right = line.partition(" - ")
        fields, (kind, _, options) = left.split(), right.split(" ", 2)
        if kind in ("cgroup", "cgroup2"):
            yield kind, fields[4].replace("\\040", " "), fields[3], set(options.split(","))


_OPTIONAL = ("memory.swap.max", "memory.memsw.limit_in_bytes", "memory.oom.group")
"""Files that not every kernel has: no swap accounting, before 4.19."""


def _set(path: str, text: str) -> None:
    """OSError, with the path. Never makes a file."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        if os.path.basename(path) in _OPTIONAL:
            return
        raise
    try:
        os.write(fd, text.encode())
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from error
    finally:
        os.close(fd)
