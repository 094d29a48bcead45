"""The spawner's core in this very process: what a refused start leaves behind, and what an end costs."""

from __future__ import annotations

import os
import resource
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fourfold.spawner import process
from fourfold.spawner.instances import Instances
from fourfold.spawner.journal import Journal
from fourfold.spawner.logs import Logs
from fourfold.spawner.loop import Loop
from fourfold.spawner.request import Spawn

PLAIN = Spawn(
    instance="a.b-1-x",
    run=1,
    argv=["true"],
    env={},
    cwd="/",
    user=None,
    mounts=[],
    files=[],
    hidden=[],
    private=False,
    user_namespace=False,
    network="host",
    tmp_bytes=0,
    cgroups=[],
    log=None,
    log_bytes=0,
    held=False,
    tty=False,
    inside=None,
    bundle=None,
)


def made(tmp_path: Path, loop: Loop, events: list[dict[str, Any]]) -> Instances:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    instances = Instances(loop, Journal(str(tmp_path / "journal")), Logs(), events.append)
    resource.setrlimit(resource.RLIMIT_NOFILE, limit)
    return instances


@pytest.mark.parametrize("refused", ["pipe2", "fork"])
def test_no_descriptor_is_lost(refused: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    instances = made(tmp_path, Loop(), [])
    real, calls = getattr(os, refused), []

    def scarce(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == (2 if refused == "pipe2" else 1):
            raise OSError(24, "Too many open files")
        return real(*arguments)

    monkeypatch.setattr(os, refused, scarce)
    before = set(Path("/proc/self/fd").iterdir())
    answers: list[dict[str, Any]] = []
    instances.spawn(PLAIN, [], None, answers.append)
    assert answers == [{"error": {"stage": "fork", "errno": 24, "detail": ""}}]
    assert set(Path("/proc/self/fd").iterdir()) <= before  # what others left may be collected meanwhile


def test_many_that_end_share_a_look_at_the_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are no cgroups and many processes of others, looking is what a shutdown would spend its time on."""
    looks: list[float] = []
    real = process.all_pids

    def slow() -> list[int]:
        looks.append(time.monotonic())
        time.sleep(0.05)
        return real()

    monkeypatch.setattr(process, "all_pids", slow)
    loop, events, answers = Loop(), list[dict[str, Any]](), list[dict[str, Any]]()
    instances = made(tmp_path, loop, events)
    for number in range(20):
        sleeper = replace(PLAIN, instance=f"a.b-1-{number}", argv=["sh", "-c", "sleep 1000 & exec sleep 1000"])
        instances.spawn(replace(sleeper, env={"PATH": os.defpath}), [], None, answers.append)
    while len(answers) < 20:
        loop.once()
    pids = [answer["ok"]["pid"] for answer in answers]
    instances.kill_all()
    while len(events) < 20:
        for pid in list(pids):  # in a spawner SIGCHLD asks for it; here other children are nobody's business
            if (ended := os.waitpid(pid, os.WNOHANG))[0]:
                pids.remove(pid)
                instances._main_ended(instances._by_pid[pid], ended[1])
        loop.after(0.001, lambda: None)
        loop.once()
    assert len(looks) <= 10


def test_a_kill_that_a_program_survived_is_not_why_it_ended(tmp_path: Path) -> None:
    """Against a group that plays the kernel's: out of memory at some time, then an end of another kind."""
    for looks, blamed in ((0, True), (1, True), (2, False)):
        group = tmp_path / f"group-{looks}"
        group.mkdir()
        (group / "cgroup.procs").touch()
        for folder in (tmp_path, group):
            (folder / "memory.events").write_text("oom 1\noom_kill 1\n")
        loop, events, answers = Loop(), list[dict[str, Any]](), list[dict[str, Any]]()
        instances = made(tmp_path, loop, events)
        spawn = replace(PLAIN, argv=["sh", "-c", "read line; exit 3"], cgroups=[str(group)], env={"PATH": os.defpath})
        stdin, done = os.pipe()
        instances.spawn(spawn, [stdin, stdin, stdin], None, answers.append)
        os.close(stdin)
        while not answers:
            loop.once()
        for _ in range(looks):
            instances.look_at_memory()
        (group / "cgroup.procs").write_text("")
        os.close(done)
        pid = answers[0]["ok"]["pid"]
        instances._main_ended(instances._by_pid[pid], os.waitpid(pid, 0)[1])
        assert [(event["code"], event["oom"]) for event in events] == [(3, blamed)]
