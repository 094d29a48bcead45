"""Finds where we may make control groups, by trying.

v1: below the mount point of each controller. v2: in the highest ancestor of our own group that lets us make groups, and
move a process there; for root that is the top, for a user their systemd instance's group. A group with processes of its
own cannot enable controllers for its children (the no-inner-processes rule): where systemd has delegated our own group
to us, we move what is in it into a leaf first.
"""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from fourfold.supervise.cgroups.cgroups import LIMITS, Groups, Hierarchy, own_group

_V1_USED = ("cpu", "cpuacct", "memory", "pids", "blkio", "freezer")
_V2_USED = ("cpu", "memory", "pids", "io")
_V1_NAME = {"cpu": "cpu", "memory": "memory", "pids": "pids", "io": "blkio"}
_ROOT = "fourfold"
_LEAF = "fourfold-daemon"


@dataclass(frozen=True)
class _Mount:
    point: Path
    root: str
    kind: str
    options: frozenset[str]


def find(home: Path, state: Path) -> Groups:
    """Groups of the Fourfold whose run folder is `home`, with its `state` on the disk that I/O limits are for."""
    with _Trial() as trial:
        return search(home, state, Path("/proc"), trial)


def search(home: Path, state: Path, proc: Path, trial: Callable[[Path], None]) -> Groups:
    """`trial` moves a process into a group, or raises OSError."""
    own_name = sha256(os.fsencode(home.absolute())).hexdigest()[:12]
    mounts = _mounts(proc)
    reasons: dict[str, str] = {}
    found: dict[Path, Hierarchy] = {}
    for controller in _V1_USED:
        for mount in mounts:
            if mount.kind == "cgroup" and controller in mount.options:
                _try_v1(mount, controller, own_name, trial, found, reasons)
    used = {base for base, hierarchy in found.items() if hierarchy.version == 1}
    unused = [mount.point / _ROOT / own_name for mount in mounts if mount.kind == "cgroup"]
    own = own_group(proc)
    for mount in mounts:
        if mount.kind == "cgroup2" and own is not None:
            hierarchy = _try_v2(mount, own, own_name, trial, reasons)
            if hierarchy is not None:
                found[hierarchy.base] = hierarchy
            break
    device = _device(state, proc)
    missing = _missing(tuple(found.values()), reasons, device, bool(mounts))
    return Groups(tuple(found.values()), device, missing, tuple(base for base in unused if base not in used))


def _try_v1(
    mount: _Mount,
    controller: str,
    own_name: str,
    trial: Callable[[Path], None],
    found: dict[Path, Hierarchy],
    reasons: dict[str, str],
) -> None:
    base = mount.point / _ROOT / own_name
    if base in found:  # cpu and cpuacct are often mounted together
        found[base] = replace(found[base], controllers=found[base].controllers | {controller})
        return
    try:
        base.mkdir(parents=True, exist_ok=True)
        _with_trial_group(base, trial)
    except OSError as error:
        reasons[controller] = f"{base}: {error.strerror}"
        return
    found[base] = Hierarchy(base, 1, frozenset({controller}), mount.point)


def _try_v2(
    mount: _Mount, own: Path, own_name: str, trial: Callable[[Path], None], reasons: dict[str, str]
) -> Hierarchy | None:
    ancestors = [mount.point / part for part in [*reversed(own.parents), own]]
    for ancestor in dict.fromkeys(ancestors):
        base = ancestor / _ROOT / own_name
        try:
            base.mkdir(parents=True, exist_ok=True)
            enabled = set(_V2_USED)
            for folder in (ancestor, base.parent, base):
                enabled &= _enable(folder, folder == mount.point / own, reasons)
            _with_trial_group(base, trial)
        except OSError as error:
            for folder in (base, base.parent):
                with suppress(OSError):
                    folder.rmdir()
            reasons.setdefault("v2", f"{ancestor}: {error.strerror}")
            continue
        return Hierarchy(base, 2, frozenset(enabled), mount.point)
    return None


def _enable(folder: Path, own: bool, reasons: dict[str, str]) -> set[str]:
    """Let the children of `folder` have controllers. -> those that they have."""
    available = set((folder / "cgroup.controllers").read_text().split())
    for controller in [name for name in _V2_USED if name in available]:
        try:
            _turn_on(folder, controller)
        except OSError as error:
            if error.errno == errno.EBUSY and own and _is_delegated(folder):
                _empty_into_leaf(folder)
                with suppress(OSError):
                    _turn_on(folder, controller)
            elif error.errno == errno.EBUSY:
                reasons[controller] = f"{folder} has processes of its own, so its groups get no controllers"
            else:
                reasons[controller] = f"{folder}: {error.strerror}"
    return set((folder / "cgroup.subtree_control").read_text().split())


def _turn_on(folder: Path, controller: str) -> None:
    control = folder / "cgroup.subtree_control"
    if controller not in control.read_text().split():
        with control.open("r+") as file:
            file.write(f"+{controller}")


def _is_delegated(folder: Path) -> bool:
    """systemd marks what it has given away (systemd.resource-control(5), Delegate=)."""
    for name in ("user.delegate", "trusted.delegate"):
        with suppress(OSError):
            if os.getxattr(folder, name) == b"1":
                return True
    return False


def _empty_into_leaf(folder: Path) -> None:
    leaf = folder / _LEAF
    leaf.mkdir(exist_ok=True)
    for pid in (folder / "cgroup.procs").read_text().split():
        with suppress(OSError):
            (leaf / "cgroup.procs").write_text(pid)


def _with_trial_group(base: Path, trial: Callable[[Path], None]) -> None:
    group = base / f"trial-{os.getpid()}"
    group.mkdir(exist_ok=True)
    try:
        trial(group)
    except OSError:
        group.rmdir()
        raise


class _Trial:
    """A process of ours that is moved into groups: making a folder is not yet proof. They go when it goes."""

    def __enter__(self) -> Callable[[Path], None]:
        self._groups: list[Path] = []
        self._process = subprocess.Popen(["sleep", "60"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        return self._move

    def _move(self, group: Path) -> None:
        (group / "cgroup.procs").write_text(str(self._process.pid))
        self._groups.append(group)

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        for group in self._groups:
            with suppress(OSError):
                group.rmdir()


def _mounts(proc: Path) -> list[_Mount]:
    """cgroup mounts of /proc/self/mountinfo (proc(5)): root, point, then kind, source, options after ` - `."""
    found = []
    for line in (proc / "self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        fields, (kind, _, options) = left.split(), right.split(" ", 2)
        if kind in ("cgroup", "cgroup2"):
            point = Path(fields[4].replace("\\040", " "))
            found.append(_Mount(point, fields[3], kind, frozenset(options.split(","))))
    return found


def _device(state: Path, proc: Path) -> str | None:
    """`major:minor` of the whole disk below the state folder: limits on partitions are refused by the kernel."""
    number = _existing(state).stat().st_dev
    if os.major(number) == 0:  # overlayfs, btrfs, tmpfs: the disk is what was mounted there
        number = _mounted_device(_existing(state), proc)
    name = f"{os.major(number)}:{os.minor(number)}"
    entry = Path("/sys/dev/block") / name
    if not entry.exists():
        return None
    if (entry / "partition").exists():
        name = (entry.resolve().parent / "dev").read_text().strip()
    return name


def _mounted_device(path: Path, proc: Path) -> int:
    best, source = "", ""
    for line in (proc / "self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        point = left.split()[4]
        if len(point) >= len(best) and path.resolve().is_relative_to(point):
            best, source = point, right.split()[1]
    with suppress(OSError):
        return Path(source).stat().st_rdev
    return 0


def _existing(path: Path) -> Path:
    return next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.exists())


def _missing(
    found: tuple[Hierarchy, ...], reasons: dict[str, str], device: str | None, mounted: bool
) -> dict[str, str]:
    missing = {}
    for limit in LIMITS:
        if any((limit if each.version == 2 else _V1_NAME[limit]) in each.controllers for each in found):
            continue
        why = reasons.get(_V1_NAME[limit]) or reasons.get(limit) or reasons.get("v2")
        missing[limit] = (
            f"no {limit} controller: {why or ('none is offered' if mounted else 'cgroups are not mounted')}"
        )
    if "io" not in missing and device is None:
        missing["io"] = "the state folder is not on a block device of its own"
    return missing
