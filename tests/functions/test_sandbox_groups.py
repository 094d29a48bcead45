"""Which control groups sandboxes get, on hosts of each kind: a fake /proc and fake trees."""

from __future__ import annotations

from pathlib import Path

import pytest

from fourfold.functions.cradle import groups
from fourfold.functions.cradle.groups import Groups, find, quota

OWN = "/fourfold/0123456789ab/a.f-1-x.1"
MIB = 1024 * 1024


class Host:
    def __init__(self, root: Path) -> None:
        self.root, self.mounts, self.own = root, list[str](), list[str]()
        (root / "proc/self").mkdir(parents=True)

    def tree(self, name: str, kind: str, options: str, path: str, **files: str) -> Path:
        point = self.root / name
        self.mounts.append(f"30 20 0:1 / {point} rw,relatime - {kind} cgroup rw,{options}")
        self.own.append(f"1:{options if kind == 'cgroup' else ''}:{path}")
        folder = Path(f"{point}{path}")
        folder.mkdir(parents=True, exist_ok=True)
        for file, text in files.items():
            (folder / file.replace("__", ".")).write_text(text)
        return folder

    def find(self) -> Groups:
        (self.root / "proc/self/mountinfo").write_text("\n".join(self.mounts) + "\n")
        (self.root / "proc/self/cgroup").write_text("\n".join(self.own) + "\n")
        return find(str(self.root / "proc"))


def test_v2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(tmp_path)
    own = host.tree(
        "v2",
        "cgroup2",
        "nsdelegate",
        OWN,
        cgroup__controllers="cpu io memory pids\n",
        cgroup__procs="41\n42\n",
        cgroup__subtree_control="cpu memory pids",
        cgroup__freeze="0",
    )
    (own / "invoker").mkdir()
    (own / "invoker/cgroup.procs").touch()
    found = host.find()
    assert (own / "invoker/cgroup.procs").read_text() == "42", "all are moved, one after the other"
    assert found.missing == {} and [each.version for each in found.hierarchies] == [2]
    files = ("memory.max", "memory.swap.max", "pids.max", "cpu.max")
    (own / "s0.1").mkdir()
    for name in files:
        (own / "s0.1" / name).touch()
    group = found.make("s0.1", 256 * MIB, 256 * MIB)
    assert [(own / "s0.1" / name).read_text() for name in files] == [str(256 * MIB), "0", "1024", "100000 100000"]
    assert group.freeze == f"{own}/s0.1/cgroup.freeze" and group.peak == f"{own}/s0.1/memory.peak"
    assert (group.quota, group.share) == (f"{own}/s0.1/cpu.max", "14471 100000")
    assert group.cpu == f"{own}/s0.1/cpu.stat" and found.v2_folder(group) == f"{own}/s0.1"


def test_v1(tmp_path: Path) -> None:
    host = Host(tmp_path)
    for name in ("cpu,cpuacct", "memory", "pids", "freezer", "blkio"):
        host.tree(name, "cgroup", name, OWN)
    found = host.find()
    assert found.missing == {} and len(found.hierarchies) == 4
    files = {
        "cpu,cpuacct": ("cpu.cfs_quota_us",),
        "memory": ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes"),
        "pids": ("pids.max",),
        "freezer": ("tasks",),
    }
    for name, each in files.items():
        folder = tmp_path / f"{name}{OWN}/s0.1"
        folder.mkdir()
        for file in (*each, "tasks"):
            (folder / file).touch()
    group = found.make("s0.1", 4096 * MIB, 4096 * MIB)
    assert (tmp_path / f"cpu,cpuacct{OWN}/s0.1/cpu.cfs_quota_us").read_text() == "231543"
    assert group.freeze.endswith("/freezer.state") and group.peak.endswith("/memory.max_usage_in_bytes")
    assert group.cpu.endswith("/cpuacct.usage") and found.v2_folder(group) is None
    (tmp_path / f"freezer{OWN}/s0.1/freezer.state").write_text("FROZEN")
    groups.let_die(group)
    assert Path(group.freeze).read_text() == "THAWED" and Path(group.quota).read_text()[:2] == "-1"


def test_both_at_once_and_others_groups(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.tree("memory", "cgroup", "memory", "/another/group")
    host.tree("pids", "cgroup", "pids", OWN)
    host.tree("freezer", "cgroup", "freezer", OWN)
    host.tree("unified", "cgroup2", "x", OWN, cgroup__controllers="hugetlb\n", cgroup__freeze="0")
    found = host.find()
    versions = [(each.version, sorted(each.controllers)) for each in found.hierarchies]
    assert versions == [(2, ["freezer"]), (1, ["pids"])], "v2 freezes, for what is frozen there can be killed"
    assert {*found.missing} == {"cpu", "memory"}
    assert found.missing["memory"] == "the invoker has no group of its own with the memory controller"


@pytest.mark.parametrize(("memory", "micro"), [(128, 7235), (1769, 100_000), (10_240, 578_858), (1, 1000)])
def test_cpu_comes_with_memory(memory: int, micro: int) -> None:
    assert quota(memory * MIB) == micro
