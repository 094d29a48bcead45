"""A process is a pid and the time at which it started; a zombie tells how it ended."""

from __future__ import annotations

import os
import subprocess

import pytest

from fourfold.spawner import kernel, process
from fourfold.spawner.process import Stat


def test_only_the_very_process_is_opened() -> None:
    child = subprocess.Popen(["sleep", "1000"])
    try:
        stat = Stat.of(child.pid)
        assert stat is not None and stat.parent == os.getpid() and stat.state not in "ZX"
        fd = process.open_exactly(child.pid, stat.start_time)
        assert fd is not None
        os.close(fd)
        assert process.open_exactly(child.pid, stat.start_time - 1) is None
        assert process.open_exactly(child.pid, stat.start_time + 1) is None
        assert process.status_of_zombie(child.pid, stat.start_time) is None
    finally:
        child.kill()
        child.wait()
    assert Stat.of(child.pid) is None or Stat.of(child.pid) != stat


@pytest.mark.parametrize(("command", "code"), [("exit 5", 5), ("kill -9 $$", -9), ("true", 0)])
def test_a_zombie_tells_how_it_ended(command: str, code: int) -> None:
    child = subprocess.Popen(["sh", "-c", f"read line; {command}"], stdin=subprocess.PIPE)
    stat = Stat.of(child.pid)
    assert stat is not None and child.stdin is not None
    pidfd = os.pidfd_open(child.pid)
    child.stdin.close()
    os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOWAIT)
    assert process.open_exactly(child.pid, stat.start_time) is None
    status = process.status_of_zombie(child.pid, stat.start_time)
    assert status is not None and os.waitstatus_to_exitcode(status) == code
    assert process.status_of_zombie(child.pid, stat.start_time + 1) is None
    child.wait()
    after = kernel.exit_status(pidfd)  # None before Linux 6.15
    assert after is None or os.waitstatus_to_exitcode(after) == code
    os.close(pidfd)


def test_tables_of_the_kernel_are_read_whole() -> None:
    """It gives them by the page: a read that returns less than was asked for is not the last one."""
    table = process.read_text("/proc/self/smaps")
    assert table is not None and len(table) > 3 * os.sysconf("SC_PAGESIZE")
    assert "[stack]" in table and table.rstrip().splitlines()[-1].startswith("VmFlags:")
