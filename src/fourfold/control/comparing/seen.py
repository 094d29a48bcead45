"""What /proc tells of a process: its user, namespaces, files, ports and limits. Nothing is None where we may look.

Formats: proc(5), namespaces(7), cgroups(7) and the kernel's networking/proc_net_tcp.rst.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fourfold.spawner.child import LEAF
from fourfold.spawner.process import Stat, read_text

SCRATCH = ("/tmp", "/var/tmp", "/dev", "/run", "/proc", "/sys")
"""Where an instance may write what it likes, or what is no file system."""
_NOT_FILES = re.compile(
    r"proc|sysfs|cgroup2?|devpts|devtmpfs|mqueue|debugfs|tracefs|securityfs|bpf|pstore|configfs|fusectl|binfmt_misc|"
    r"autofs|hugetlbfs|efivarfs|nsfs|rpc_pipefs|nfs\d?|cifs|smb3|ceph|9p|virtiofs|fuse\..+"
)
"""Kinds of mounts that are not looked into: made up by the kernel, or on other machines."""
_LISTENS = "0A"
_OURS = "/fourfold/"
"""In the path of each group that the supervisor makes: what others limit is not what a service file asks for."""
_UNLIMITED = 1 << 62
"""As much memory v1 has where there is no limit: the largest number of whole pages."""


@dataclass(frozen=True)
class User:
    uid: int
    gid: int
    groups: tuple[int, ...]


def user(pid: int) -> User | None:
    fields = dict(
        line.split(":\t", 1) for line in (read_text(f"/proc/{pid}/status") or "").splitlines() if ":\t" in line
    )
    if "Uid" not in fields:
        return None
    groups = tuple(map(int, fields.get("Groups", "").split()))
    return User(int(fields["Uid"].split()[1]), int(fields["Gid"].split()[1]), groups)


def program(pid: int) -> str:
    """Name of the file that it runs; empty: we may not see."""
    try:
        return Path(f"/proc/{pid}/exe").readlink().name
    except OSError:
        return ""


def same_network(one: int, other: int) -> bool | None:
    try:
        return Path(f"/proc/{one}/ns/net").readlink() == Path(f"/proc/{other}/ns/net").readlink()
    except OSError:
        return None


def same_files(one: int, other: int) -> bool | None:
    """Whether both have the same /usr and /etc: private mounts give processes another root over the same files."""
    try:
        for pid in (one, other):
            os.lstat(f"/proc/{pid}/root/")
        found = [[_identity(f"/proc/{pid}/root/{name}") for name in ("usr", "etc")] for pid in (one, other)]
    except OSError:
        return None
    return any(mine is not None and mine == theirs for mine, theirs in zip(*found, strict=True))


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISDIR(status.st_mode) else None


def started_at(pid: int, now: float) -> float | None:
    """Epoch seconds. `now`: the same."""
    found, uptime = Stat.of(pid), read_text("/proc/uptime")
    if found is None or uptime is None:
        return None
    return now - float(uptime.split()[0]) + found.start_time / os.sysconf("SC_CLK_TCK")


# -- files ------------------------------------------------------------------------------------------------------------


def skipped(pid: int, volumes: Iterable[str]) -> tuple[str, ...]:
    """What is not its own disk, as it sees it: mounts of the kernel, of other machines and of volumes; what was put
    there as a file; and where it may write what it likes."""
    points = {
        path
        for path, kind in _mounts(read_text(f"/proc/{pid}/mountinfo") or "")
        if _NOT_FILES.fullmatch(kind) or not _is_folder(f"/proc/{pid}/root{path}")
    }
    return tuple(sorted(points | {*volumes, *SCRATCH}))


def _is_folder(path: str) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False


def _mounts(mountinfo: str) -> Iterator[tuple[str, str]]:
    """(Mount point, kind)."""
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        if right:
            yield _unescaped(left.split()[4]), right.split()[0]


def _unescaped(path: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), path)


# -- ports ------------------------------------------------------------------------------------------------------------


def ports(pids: Iterable[int], own_network: bool) -> tuple[int, ...]:
    """On which they listen for TCP. `own_network`: nobody else does in there, whose sockets we might not see."""
    pids = list(pids)
    sockets = {inode for pid in pids for inode in _sockets(pid)} if not own_network else None
    found: set[int] = set()
    for pid in pids:
        for name in ("tcp", "tcp6"):
            listening = _listening(read_text(f"/proc/{pid}/net/{name}") or "")
            found.update(port for port, inode in listening if sockets is None or inode in sockets)
    return tuple(sorted(found))


def _listening(table: str) -> Iterator[tuple[int, int]]:
    """(Port, inode)."""
    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 9 and fields[3] == _LISTENS:
            yield int(fields[1].rpartition(":")[2], 16), int(fields[9])


def _sockets(pid: int) -> Iterator[int]:
    try:
        links = list(Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return
    for link in links:
        try:
            target = str(link.readlink())
        except OSError:
            continue
        if target.startswith("socket:["):
            yield int(target[8:-1])


def guest_ports(listens: Iterable[str]) -> tuple[int, ...]:
    """As a guest tells: `0100007F:1F90`."""
    return tuple(sorted({int(each.rpartition(":")[2], 16) for each in listens}))


# -- limits -----------------------------------------------------------------------------------------------------------


def limits(pid: int, proc: str = "/proc") -> tuple[str, ...]:
    """Names of those that its control groups have: `cpu`, `io`, `memory`, `pids`."""
    found = {name for folder in _groups(pid, proc) for name, is_set in _LIMITS.items() if is_set(folder)}
    return tuple(sorted(found))


def _groups(pid: int, proc: str) -> Iterator[Path]:
    """Its folder in each hierarchy; of a leaf below the group that has the limits, that."""
    own: dict[str, str] = {}
    for line in (read_text(f"{proc}/{pid}/cgroup") or "").splitlines():
        _, names, path = line.split(":", 2)
        if _OURS in path:
            own.update(dict.fromkeys(names.split(","), path.removesuffix(LEAF)))
    for line in (read_text(f"{proc}/self/mountinfo") or "").splitlines():
        left, _, right = line.partition(" - ")
        kind, _, options = right.split(" ", 2)
        if kind not in ("cgroup", "cgroup2"):
            continue
        root, point = left.split()[3:5]
        group = own.get("") if kind == "cgroup2" else _first(own, options.split(","))
        if group is not None and group.startswith(root):
            yield Path(_unescaped(point), group[len(root) :].lstrip("/"))


def _first(own: dict[str, str], controllers: Iterable[str]) -> str | None:
    return next((own[name] for name in controllers if name in own), None)


def _number(path: Path) -> int | None:
    """None: no such file, no number, or `max`."""
    text = (read_text(str(path)) or "").split()
    return int(text[0]) if text and text[0].lstrip("-").isdigit() else None


def _is_memory(folder: Path) -> bool:
    number = _number(folder / "memory.max") or _number(folder / "memory.limit_in_bytes")
    return number is not None and number < _UNLIMITED


def _is_cpu(folder: Path) -> bool:
    return (_number(folder / "cpu.max") or _number(folder / "cpu.cfs_quota_us") or 0) > 0


def _is_pids(folder: Path) -> bool:
    return _number(folder / "pids.max") is not None


def _is_io(folder: Path) -> bool:
    names = ("io.max", "blkio.throttle.read_bps_device", "blkio.throttle.write_bps_device")
    return any((read_text(str(folder / name)) or "").strip() for name in names)


_LIMITS = {"cpu": _is_cpu, "io": _is_io, "memory": _is_memory, "pids": _is_pids}
