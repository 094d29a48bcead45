"""Guests of a host: started, ended, told of, adopted, whatever dies; and a host that does as it likes."""

from __future__ import annotations

import os
from typing import Any

import pytest

from fourfold.errors import ConflictError, UserError, WorldError
from fourfold.launch.model import Limits, Mount, SecretRef
from fourfold.supervise import logs
from fourfold.supervise.hosts.hosted import Hosted, HostUsage, host_usage
from fourfold.supervise.model import Note
from tests.supervise.hosting import GUEST, HOST, OTHER, guest, guest_launch, host
from tests.supervise.rig import SERVICE, Rig, alive, names, needs, scenario, script, until
from tests.supervise.test_limits import read


def test_the_life_of_a_guest() -> None:
    async def test(rig: Rig) -> None:
        notes: list[Note] = []
        rig.on_note = notes.append
        main = await host(rig)
        await rig.ask(HOST)
        inside = await guest(rig, "inside", name=OTHER)
        assert inside == main and rig.usage(OTHER) is None
        worker = await guest(rig, "run", "sh", "-c", "echo up; exec sleep 1000")
        assert worker != main and rig.running() == {HOST: main, OTHER: main, GUEST: worker}
        assert rig.run_of(GUEST) == 1
        await until(lambda: len(rig.lines(GUEST)) == 2, "it wrote nothing")
        assert rig.lines(GUEST) == ["run [('NAME', 'value'), ('PATH', '/usr/bin:/bin')] of the artifact", "up"]
        assert names(rig.paths.hosts / f"{HOST}.1") == ["own", *of(GUEST, OTHER)]
        assert await rig.signal(GUEST, "TERM") and await rig.signal(OTHER, "TERM")
        ends = [await rig.exit_of(name) for name in (GUEST, OTHER)]
        assert [(end.code, end.signal, end.oom, end.run) for end in ends] == [(None, 15, False, 1), (0, None, False, 1)]
        await until(lambda: notes, "what it left behind was not told")
        assert notes == [Note(OTHER, "leak", "it has left a thread behind")]
        await until(lambda: names(rig.paths.hosts / f"{HOST}.1") == ["own"], "something of them was left")
        assert rig.running() == {HOST: main} and not alive(worker.pid)
        assert not await rig.signal(GUEST, "TERM") and not await rig.kill(GUEST)
        await rig.kill(HOST)
        await rig.exit_of(HOST)
        await until(lambda: not names(rig.paths.hosts) and not rig.groups(), "something of the host was left")
        assert sorted(end.instance for end in rig.exits) == sorted([GUEST, OTHER, HOST])

    scenario(test)


def test_what_does_not_start_says_why() -> None:
    async def test(rig: Rig) -> None:
        with pytest.raises(WorldError, match=f"cannot start {GUEST}: its host {HOST} does not run"):
            await guest(rig, "inside")
        await host(rig)
        await guest(rig, "fails")  # it has begun to: what comes of it is told later
        assert str(await rig.exit_of(GUEST)) == "no such application"
        assert GUEST not in rig.running()
        await guest(rig, "inside", name=OTHER)
        with pytest.raises(ConflictError, match="already runs"):
            await guest(rig, "inside", name=OTHER)
        for pid in (1, os.getpid()):
            with pytest.raises(WorldError, match=f"says that it is process {pid}, which is not so"):
                await guest(rig, "foreign", str(pid), run=2)
        with pytest.raises(UserError, match="secret key is not set"):
            await guest(rig, "inside", run=3, env={"KEY": SecretRef("key")})
        with pytest.raises(WorldError, match="tree/nothing: No such file"):
            await guest(rig, "inside", run=4, mounts=(Mount(f"{rig.paths.artifacts}/tree/nothing", "/guests/x", True),))
        quick = await guest(rig, "run", "true", run=5)
        assert quick.pid > 0
        await until(lambda: [end.run for end in rig.exits if end.instance == GUEST] == [1, 5], "its end was not told")
        assert rig.exits[-1].code == 0
        await until(lambda: names(rig.paths.hosts / f"{HOST}.1") == ["own", *of(OTHER)], "something was left")

    scenario(test)


def test_a_guest_is_entered_as_its_host_is() -> None:
    async def test(rig: Rig) -> None:
        await host(rig)
        worker = await guest(rig, "run", "sleep", "1000")
        ask = "cat $0/file; test -S $0/../own/control.sock && id -u"
        launch = guest_launch(rig, "sh", "-c", ask, str(guest_launch(rig).cwd))
        held = await rig.enter(launch, {}, False)
        output = b""
        while (piece := await held.read()) is not None:
            output += piece[1]
        assert await held.wait() == 0, output
        uid = SERVICE.uid if rig.powers.users else os.geteuid()
        assert output.decode() == f"of the artifact{uid}\n"
        await held.close()
        assert alive(worker.pid)
        await rig.kill(GUEST)
        await rig.exit_of(GUEST)
        with pytest.raises(ConflictError, match=f"cannot enter {GUEST}: it does not run"):
            await rig.enter(launch, {}, False)

    scenario(test)


APART = """
import os, time
def groups(pid): return "".join(line for line in open(f"/proc/{pid}/cgroup") if "/fourfold/" in line)
while groups("self") and groups("self") == groups(os.getppid()): time.sleep(0.001)
"""
"""Waits until it is in a control group of its own, if it is to be in one: what was taken before is its host's."""


def test_what_they_take() -> None:
    async def test(rig: Rig) -> None:
        await host(rig)
        await guest(rig, "inside", name=OTHER)
        await guest(rig, "run", *script(APART + "x = bytearray(64 << 20)\nwhile True: pass"))

        def is_seen() -> bool:
            used, whole = rig.usage(GUEST), rig.usage(HOST)
            assert used is not None and whole is not None
            assert (used.processes, whole.processes) == (1, 2)
            return used.cpu_seconds > 0.1 and used.memory_bytes > 16 << 20 and whole.cpu_seconds > used.cpu_seconds

        await until(is_seen, "what it takes is not seen")
        told = Hosted(cpu_seconds=1.5, cpu="measured")
        assert await rig.usage_of(HOST) == HostUsage({OTHER: told}, heap_bytes=5)
        with pytest.raises(WorldError, match="it is no host"):
            await rig.usage_of(GUEST)

    scenario(test)


@needs("memory")
def test_a_worker_has_limits_of_its_own_below_those_of_all() -> None:
    hog = "x = []\nwhile True: x.append(bytearray(1 << 20))"
    kept = "import time\nx = bytearray(40 << 20)\nprint('there', flush=True)\ntime.sleep(1000)"

    async def test(rig: Rig) -> None:
        await host(rig, limits=Limits(memory=96 << 20, cpu=1.0))
        worker = await guest(rig, "run", *script(kept), name=OTHER, limits=Limits(memory=64 << 20, cpu=4.0))
        await until(lambda: "there" in rig.lines(OTHER), "it did not start")
        await guest(rig, "run", "sh", "-c", '"$@" & wait', "sh", *script(hog), limits=Limits(memory=32 << 20, pids=7))
        group = f"{HOST}.1/{GUEST}.1"
        assert "7" in [read(f"{folder}/pids.max") for folder in rig._groups.folders(group)]
        # v1 kills the child, and the worker ends well; v2 all of the worker's group.
        end = await rig.exit_of(GUEST)
        assert (end.code, end.oom) == (0, False) or (end.signal == 9 and end.oom)
        await until(lambda: not rig._groups.folders(group), "its group was left")
        await guest(rig, "run", *script(hog), run=2, limits=Limits(memory=32 << 20))
        await until(lambda: [end.run for end in rig.exits] == [1, 2], "it was not killed")
        assert rig.exits[-1].oom and str(rig.exits[-1]) == "killed: out of memory"
        await guest(rig, "run", *script(hog), run=3)
        await until(lambda: [end.run for end in rig.exits] == [1, 2, 3], "the limit of all did not hold")
        assert rig.exits[-1].oom, "it was the largest"
        assert alive(worker.pid) and set(rig.running()) == {HOST, OTHER}

    scenario(test)


def test_logs_of_guests_are_bounded_by_every_spawner() -> None:
    flood = "import os, time\nwhile True: os.write(1, (b'y' * 63 + b'\\n') * 512); time.sleep(0.002)"

    async def test(rig: Rig) -> None:
        await host(rig)
        await guest(rig, "run", *script(flood), log_bytes=128 * 1024)
        await bounded(rig)
        await rig.kill_spawner()
        await bounded(rig)
        await rig.signal(GUEST, "TERM")
        await rig.exit_of(GUEST)
        *whole, last = rig.lines(GUEST)
        assert set(whole) == {"y" * 63}
        assert last.ljust(63, "y") == "y" * 63  # it may have been ended within a write

    async def bounded(rig: Rig) -> None:
        log = logs.path_of(rig.paths, GUEST, 1)
        before = log.stat().st_size
        await until(lambda: log.stat().st_size > before + 1_000_000, "it wrote too little")
        await until(lambda: log.stat().st_blocks * 512 <= 128 * 1024, "it is not kept bounded")

    scenario(test)


def of(*guests: str) -> list[str]:
    return [f"{name}{end}" for name in guests for end in ("", ".json", ".log")]


@pytest.mark.parametrize(
    ("answer", "meant"),
    [
        ({}, HostUsage()),
        ({"guests": [], "whole": 7}, HostUsage()),
        ({"guests": {"a": 7, "b": {}}}, HostUsage({"b": Hosted()})),
        ({"guests": {"a": {"cpu_seconds": 2, "cpu": "guessed"}}}, HostUsage({"a": Hosted(cpu_seconds=2.0)})),
        ({"guests": {"a": {"cpu_seconds": None, "cpu": "measured"}}}, HostUsage({"a": Hosted()})),
        ({"guests": {"a": {"memory_bytes": 0, "memory": "estimated"}}}, HostUsage({"a": Hosted()})),
        (
            {
                "guests": {
                    "a": {"memory_bytes": 9.7, "memory": "estimated", "busy": True, "threads": -1, "longest": 1e300}
                }
            },
            HostUsage({"a": Hosted(memory_bytes=9, memory="estimated")}),
        ),
        ({"whole": {"heap_bytes": 10**400, "heap_most": float("nan")}}, HostUsage()),
    ],
)
def test_what_a_host_says_of_usage_need_make_no_sense(answer: dict[str, Any], meant: HostUsage) -> None:
    assert host_usage(answer) == meant
