"""What /proc tells of a process."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fourfold.control.comparing import seen

V1 = """\
30 29 0:26 / /sys/fs/cgroup ro - tmpfs none ro,mode=755
32 30 0:28 / {root}/memory rw shared:9 - cgroup cgroup rw,memory
33 30 0:29 / {root}/cpu,cpuacct rw - cgroup cgroup rw,cpuacct,cpu
34 30 0:30 / {root}/pids rw - cgroup cgroup rw,pids
35 30 0:31 / {root}/unified rw - cgroup2 cgroup2 rw,nsdelegate
"""
V2 = "35 30 0:31 / {root}/unified rw - cgroup2 cgroup2 rw,nsdelegate\n"
GROUP = "/fourfold/0123456789ab/app.web-1-x.1"


def lay(root: Path, mountinfo: str, groups: str, files: dict[str, str]) -> str:
    for name, text in {"proc/self/mountinfo": mountinfo.format(root=root), "proc/7/cgroup": groups, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(root / "proc")


def test_limits_of_v1(tmp_path: Path) -> None:
    lines = [f"{number}:{names}:{GROUP}" for number, names in enumerate(("memory", "cpu,cpuacct", "pids", ""))]
    files = {
        f"memory{GROUP}/memory.limit_in_bytes": "134217728\n",
        f"cpu,cpuacct{GROUP}/cpu.cfs_quota_us": "50000\n",
        f"pids{GROUP}/pids.max": "4096\n",
    }
    assert seen.limits(7, lay(tmp_path, V1, "\n".join(lines), files)) == ("cpu", "memory", "pids")


def test_no_limits_of_v1(tmp_path: Path) -> None:
    lines = [f"{number}:{names}:{GROUP}" for number, names in enumerate(("memory", "cpu,cpuacct", "pids"))]
    files = {
        f"memory{GROUP}/memory.limit_in_bytes": "9223372036854771712\n",
        f"cpu,cpuacct{GROUP}/cpu.cfs_quota_us": "-1\n",
        f"pids{GROUP}/pids.max": "max\n",
    }
    assert seen.limits(7, lay(tmp_path, V1, "\n".join(lines), files)) == ()


@pytest.mark.parametrize("leaf", ["", "/entered"])
def test_limits_of_v2(tmp_path: Path, leaf: str) -> None:
    folder = f"unified{GROUP}"
    files = {
        f"{folder}/memory.max": "134217728\n",
        f"{folder}/cpu.max": "max 100000\n",
        f"{folder}/pids.max": "max\n",
        f"{folder}/io.max": "254:0 rbps=max wbps=20000000 riops=max wiops=max\n",
    }
    assert seen.limits(7, lay(tmp_path, V2, f"0::{GROUP}{leaf}\n", files)) == ("io", "memory")


def test_limits_of_others_are_not_ours(tmp_path: Path) -> None:
    files = {"unified/user.slice/memory.max": "134217728\n"}
    assert seen.limits(7, lay(tmp_path, V2, "0::/user.slice\n", files)) == ()


def test_a_process() -> None:
    me = seen.user(os.getpid())
    assert me is not None
    assert (me.uid, me.gid, set(me.groups)) == (os.geteuid(), os.getegid(), set(os.getgroups()))
    assert seen.program(os.getpid()) == Path(sys.executable).resolve().name
    assert seen.same_network(os.getpid(), os.getpid()) is seen.same_files(os.getpid(), os.getpid()) is True
    begun = seen.started_at(os.getpid(), time.time())
    assert begun is not None and begun < time.time()


def test_a_process_that_has_gone() -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    assert seen.user(child.pid) is None
    assert seen.started_at(child.pid, 0.0) is None
    assert seen.same_network(child.pid, os.getpid()) is seen.same_files(child.pid, os.getpid()) is None
    assert (seen.program(child.pid), seen.ports([child.pid], True), seen.limits(child.pid)) == ("", (), ())


def test_ports_are_those_of_its_own_sockets() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as mine,
        socket.create_server(("::1", 0), family=socket.AF_INET6) as six,
    ):
        wanted = {mine.getsockname()[1], six.getsockname()[1]}
        assert wanted <= set(seen.ports([os.getpid()], own_network=False))
        assert wanted <= set(seen.ports([os.getpid()], own_network=True))
        with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as other:
            assert seen.ports([other.pid], own_network=False) == ()
            assert wanted <= set(seen.ports([other.pid], own_network=True))
    assert seen.guest_ports(["0100007F:1F90", "00000000:0050", "00000000000000000000000000000000:1F90"]) == (80, 8080)


def test_what_is_not_its_own_disk_is_skipped() -> None:
    skipped = set(seen.skipped(os.getpid(), ["/data"]))
    assert {"/data", "/proc", "/sys", "/tmp"} <= skipped
    assert "/" not in skipped
