"""What is written into control groups, and where they are found. v2 against a tree that plays the kernel."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fourfold.launch.model import Limits
from fourfold.supervise import powers
from fourfold.supervise.cgroups import find as cgroupfind
from fourfold.supervise.cgroups.cgroups import Groups, Hierarchy, settings

ALL = Limits(cpu=1.5, memory=1 << 26, pids=64, read_bps=1000, write_bps=2000)
V1 = frozenset({"cpu", "cpuacct", "memory", "pids", "blkio", "freezer"})
V2 = frozenset({"cpu", "memory", "pids", "io"})


@pytest.mark.parametrize(
    ("version", "controllers", "limits", "device", "expected"),
    [
        (
            2,
            V2,
            ALL,
            "8:0",
            [
                ("cpu.max", "150000 100000"),
                ("memory.max", "67108864"),
                ("memory.swap.max", "0"),
                ("memory.oom.group", "1"),
                ("pids.max", "64"),
                ("io.max", "8:0 rbps=1000 wbps=2000"),
            ],
        ),
        (
            1,
            V1,
            ALL,
            "8:0",
            [
                ("cpu.cfs_period_us", "100000"),
                ("cpu.cfs_quota_us", "150000"),
                ("memory.limit_in_bytes", "67108864"),
                ("memory.memsw.limit_in_bytes", "67108864"),
                ("pids.max", "64"),
                ("blkio.throttle.read_bps_device", "8:0 1000"),
                ("blkio.throttle.write_bps_device", "8:0 2000"),
            ],
        ),
        (2, V2, Limits(), "8:0", [("pids.max", "4096")]),
        (1, V1, Limits(), "8:0", [("pids.max", "4096")]),
        (2, V2, Limits(write_bps=5), "8:0", [("pids.max", "4096"), ("io.max", "8:0 wbps=5")]),
        (2, V2 - {"pids"}, Limits(write_bps=5), None, []),
        (2, frozenset({"pids"}), ALL, "8:0", [("pids.max", "64")]),
        (2, V2, Limits(cpu_weight=1000), None, [("cpu.weight", "1000"), ("pids.max", "4096")]),
        (1, V1, Limits(cpu_weight=1000), None, [("cpu.shares", "10240"), ("pids.max", "4096")]),
        (2, V2, Limits(cpu=0.001), None, [("cpu.max", "1000 100000"), ("pids.max", "4096")]),
    ],
)
def test_settings(
    version: int, controllers: frozenset[str], limits: Limits, device: str | None, expected: list[tuple[str, str]]
) -> None:
    assert settings(limits, Hierarchy(Path("/x"), version, controllers), device) == expected


class Kernel:
    """A cgroup2 tree in a folder: groups get their files, controllers come from above, no processes in inner nodes."""

    def __init__(self, folder: Path, own: str, writable: str = "", patch: pytest.MonkeyPatch | None = None) -> None:
        self.root = folder / "cgroup"
        self.proc = folder / "proc"
        (self.proc / "self").mkdir(parents=True)
        self.writable = self.root / writable
        self.moved: list[Path] = []
        self.immovable: set[Path] = set()
        self.mkdir = Path.mkdir
        self.root.mkdir()
        self.fill(self.root, V2 | {"hugetlb"})
        group = self.root
        for name in Path(own).parts:
            self.turn_on(group, *V2)
            group = group / name
            group.mkdir()
            self.fill(group, V2)
        self.own = group
        (self.proc / "self/mountinfo").write_text(f"41 31 0:38 / {self.root} rw - cgroup2 cgroup2 rw\n")
        (self.proc / "self/cgroup").write_text(f"0::/{own}\n")
        assert patch is not None
        patch.setattr(Path, "mkdir", lambda path, *rest, **more: self.make(path))
        patch.setattr(cgroupfind, "_turn_on", self.turn_on)

    def fill(self, group: Path, controllers: frozenset[str] | set[str]) -> None:
        (group / "cgroup.controllers").write_text(" ".join(sorted(controllers)))
        for name in ("cgroup.subtree_control", "cgroup.procs"):
            (group / name).write_text("")

    def make(self, path: Path) -> None:
        if path.exists():
            return
        if not path.parent.exists():
            self.make(path.parent)
        if not path.is_relative_to(self.writable):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        self.mkdir(path)
        self.fill(path, set((path.parent / "cgroup.subtree_control").read_text().split()))

    def turn_on(self, group: Path, *controllers: str) -> None:
        if (group / "cgroup.procs").read_text().strip() and group != self.root:
            raise OSError(errno.EBUSY, "Device or resource busy")
        enabled = set((group / "cgroup.subtree_control").read_text().split()) | set(controllers)
        (group / "cgroup.subtree_control").write_text(" ".join(sorted(enabled)))
        for child in group.glob("*/cgroup.controllers"):
            child.write_text(" ".join(sorted(enabled)))

    def move(self, group: Path) -> None:
        if any(group.is_relative_to(closed) for closed in self.immovable):
            raise PermissionError(errno.EACCES, "Permission denied")
        self.moved.append(group)


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Kernel]:
    return lambda own, writable="": Kernel(tmp_path, own, writable, monkeypatch)


def search(kernel: Kernel) -> Groups:
    return cgroupfind.search(Path("/home/run"), Path("/"), kernel.proc, kernel.move)


def test_root_gets_the_top(kernel: Callable[..., Kernel]) -> None:
    made = kernel("system.slice/fourfold.service")
    (found,) = search(made).hierarchies
    assert found.controllers == V2
    assert found.base.parent == made.root / "fourfold" and len(found.base.name) == 12
    assert [group.parent for group in made.moved] == [found.base]
    assert set((found.base / "cgroup.subtree_control").read_text().split()) == V2


def test_a_user_gets_the_highest_group_that_systemd_gave_them(kernel: Callable[..., Kernel]) -> None:
    given = "user.slice/user-1000.slice/user@1000.service"
    made = kernel(f"{given}/app.slice/fourfold.service", given)
    (found,) = search(made).hierarchies
    assert found.base.parent.parent == made.root / given and found.controllers == V2


def test_a_group_that_processes_cannot_be_moved_to_is_no_use(kernel: Callable[..., Kernel]) -> None:
    given = "user.slice/user-1000.slice/user@1000.service"
    made = kernel("user.slice/user-1000.slice/session-3.scope", given)
    groups = search(made)
    assert groups.hierarchies == ()
    assert set(groups.missing) == {"cpu", "memory", "pids", "io"}
    assert "Permission denied" in groups.missing["memory"]


def test_our_own_delegated_group_is_emptied_into_a_leaf(
    kernel: Callable[..., Kernel], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = "system.slice/fourfold.service"
    made = kernel(own, own)
    (made.own / "cgroup.procs").write_text("811\n812\n")
    asked: list[str] = []

    def getxattr(path: Path, name: str) -> bytes:
        asked.append(name)
        return b"1"

    def empty(folder: Path) -> None:
        emptied(folder)
        (folder / "cgroup.procs").write_text("")

    emptied = cgroupfind._empty_into_leaf
    monkeypatch.setattr(os, "getxattr", getxattr)
    monkeypatch.setattr(cgroupfind, "_empty_into_leaf", empty)
    (found,) = search(made).hierarchies
    assert asked and found.controllers == V2 and found.base.parent.parent == made.own
    assert (made.own / cgroupfind._LEAF / "cgroup.procs").read_text() in ("811", "812")


def test_a_group_with_processes_that_is_not_ours_to_empty_enforces_nothing_and_says_so(
    kernel: Callable[..., Kernel],
) -> None:
    own = "docker/abc"
    made = kernel(own, own)
    (made.own / "cgroup.procs").write_text("1\n")
    groups = search(made)
    assert all(found.controllers == frozenset() for found in groups.hierarchies)
    assert "has processes of its own" in groups.missing["memory"]


def test_moves_are_hastened_by_one_to_where_we_are(kernel: Callable[..., Kernel]) -> None:
    made = kernel("system.slice/fourfold.service")
    groups = search(made)
    groups.hasten_moves(made.proc)
    assert (made.own / "cgroup.procs").read_text() == "0"
    assert not (made.root / "cgroup.procs").read_text()


def test_moves_that_cannot_be_hastened_are_made_all_the_same(kernel: Callable[..., Kernel]) -> None:
    made = kernel("system.slice/fourfold.service")
    groups = search(made)
    (made.own / "cgroup.procs").unlink()
    groups.hasten_moves(made.proc)
    assert not (made.own / "cgroup.procs").exists()


def test_counters_of_v2(tmp_path: Path) -> None:
    group = tmp_path / "a"
    group.mkdir()
    files = {
        "cpu.stat": "usage_usec 2500000\nuser_usec 1\n",
        "memory.current": "1000\n",
        "memory.stat": "anon 1\ninactive_file 400\n",
        "io.stat": "8:0 rbytes=10 wbytes=20 rios=1\n8:16 rbytes=1 wbytes=2\n8:32\n",
        "cgroup.procs": "1\n2\n",
    }
    for name, text in files.items():
        (group / name).write_text(text)
    groups = Groups((Hierarchy(tmp_path, 2, V2),), None, {})
    counters = groups.counters("a")
    assert (counters.cpu_seconds, counters.memory_bytes) == (2.5, 600)
    assert (counters.read_bytes, counters.written_bytes) == (11, 22)
    assert groups.pids("a") == {1, 2} and groups.names() == {"a"}
    nothing = groups.counters("gone")
    assert (nothing.cpu_seconds, nothing.memory_bytes, nothing.read_bytes) == (None, None, 0)


def test_a_divided_group_has_groups_in_it(tmp_path: Path) -> None:
    v1, v2 = tmp_path / "memory", tmp_path / "unified"
    of_host = {v1: ("pids.max",), v2: ("cgroup.subtree_control", "memory.oom.group", "pids.max", "cpu.max")}
    for base, files in of_host.items():
        for folder in (base / "h.1", base / "h.1/g.1"):
            folder.mkdir(parents=True)
            for name in files:
                (folder / name).touch()
    groups = Groups((Hierarchy(v1, 1, frozenset({"blkio", "pids"})), Hierarchy(v2, 2, V2)), None, {})
    groups.divide("h.1")
    assert (v2 / "h.1/cgroup.subtree_control").read_text() == "+cpu +io +memory +pids"
    assert (v2 / "h.1/memory.oom.group").read_text() == "0", "not all of it is killed for one"
    assert groups.create("h.1/g.1", Limits(cpu=0.5, pids=9)) == [f"{v1}/h.1/g.1", f"{v2}/h.1/g.1"]
    assert (v2 / "h.1/g.1/cpu.max").read_text() == "50000 100000" and (v1 / "h.1/g.1/pids.max").read_text() == "9"
    assert groups.names() == {"h.1"}


def test_only_what_counts_or_limits_is_made(tmp_path: Path) -> None:
    """Hybrid: v1 controllers, and a v2 tree that can kill."""
    bases = [tmp_path / name for name in ("cpu", "cpuacct", "memory", "pids", "blkio", "freezer", "unified")]
    for base in bases:
        base.mkdir()
    hierarchies = tuple(Hierarchy(base, 1, frozenset({base.name})) for base in bases[:-1])
    groups = Groups((*hierarchies, Hierarchy(bases[-1], 2, frozenset())), None, {})

    def needed(**limits: Any) -> set[str]:
        return {each.base.name for each in groups._needed(Limits(**limits))}

    assert needed() == {"cpu", "cpuacct", "memory", "pids", "unified", "freezer"}
    (bases[-1] / "cgroup.kill").touch()
    assert needed() == {"cpu", "cpuacct", "memory", "pids", "unified"}
    assert needed(write_bps=1) == needed() | {"blkio"}
    (bases[1] / "a").mkdir()
    (bases[1] / "a/cgroup.procs").write_text("5\n")
    assert groups.folders("a") == [str(bases[1] / "a")] and groups.pids("a") == {5}
    assert groups.counters("a").read_bytes is None


def test_groups_for_an_oci_runtime(tmp_path: Path) -> None:
    """It makes groups in all hierarchies; its own is where a whole group can be killed."""
    points = {name: tmp_path / name for name in ("cpu", "freezer", "unified", "devices")}
    bases = {name: point / "fourfold/h" for name, point in points.items()}
    for base in bases.values():
        base.mkdir(parents=True)
    made = {
        name: Hierarchy(bases[name], 2 if name == "unified" else 1, frozenset({name}), points[name]) for name in bases
    }
    hybrid = Groups((made["cpu"], made["freezer"], made["unified"]), None, {}, (bases["devices"],))
    assert hybrid.path("i.1") == "/fourfold/h/i.1" and hybrid.unified_beside_v1() == points["unified"]
    assert hybrid.everywhere("i.1") == [f"{base}/i.1" for base in bases.values()]
    assert hybrid.create_one("i.1.runtime") == f"{bases['unified']}/i.1.runtime"
    (bases["devices"] / "i.1").mkdir()
    assert hybrid.names() == {"i.1", "i.1.runtime"}
    assert hybrid.remove("i.1") and hybrid.remove("i.1.runtime") and hybrid.names() == set()
    v1 = Groups((made["cpu"], made["freezer"]), None, {})
    assert v1.create_one("x").startswith(str(bases["freezer"])) and v1.unified_beside_v1() is None
    nested = Hierarchy(points["unified"] / "user.slice/fourfold/h", 2, frozenset(), points["unified"])
    assert Groups((nested,), None, {}).path("i.1") == "/user.slice/fourfold/h/i.1"
    assert Groups((made["cpu"], nested), None, {}).path("i.1") is None
    v1.remove("x")
    hybrid.close()
    assert not any(base.exists() for base in bases.values())


def test_disk_traffic_is_limited_on_the_disk_of_the_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Not on the one of /, which may be none (an image's overlay)."""
    asked: list[Path] = []

    def find(home: Path, state: Path) -> Groups:
        asked.append(state)
        return Groups((), None, {})

    monkeypatch.setattr(cgroupfind, "find", find)
    powers.probe(tmp_path)
    assert asked == [tmp_path]
