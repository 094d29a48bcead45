"""Finding the processes of a tree among everybody's."""

from __future__ import annotations

import os
import subprocess
import time

import pytest

from fourfold.spawner import process, processes
from fourfold.spawner.process import Stat
from fourfold.spawner.processes import MARKER, Processes


def test_an_environment_is_read_once_and_a_look_serves_many(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def counted(path: str) -> str | None:
        read.append(path)
        return process.read_text(path)

    monkeypatch.setattr(processes, "read_text", counted)
    mark = f"{MARKER}=a.b-1-x:1:{os.getpid()}"
    variables = {"PATH": os.defpath, MARKER: mark.partition("=")[2]}
    found = Processes()
    child = subprocess.Popen(["sh", "-c", "echo; sleep 1000 & wait"], env=variables, stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None and child.stdout.readline()
        stat = Stat.of(child.pid)
        assert stat is not None
        found.look(time.monotonic() - 1e9)  # there was no look yet, however old one may be
        assert child.pid in found.marked(mark, stat.start_time)
        asked = time.monotonic()
        found.look(asked)
        looked_at = found._looked_at
        found.look(asked)
        assert found._looked_at == looked_at
        assert child.pid in found.marked(mark, stat.start_time) and not found.marked(f"{mark}0", stat.start_time)
        assert read.count(f"/proc/{child.pid}/environ") == 1
        assert child.pid not in found.marked(mark, stat.start_time + 1)
    finally:
        found.look(time.monotonic())
        for pid in found.with_descendants([child.pid]):
            os.kill(pid, 9)
        child.wait()
