"""The spawner dies while containers run, and at every point of a start: they are adopted, or nothing of them stays."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fourfold import spawner
from fourfold.errors import WorldError
from fourfold.launch.model import Launch
from fourfold.paths import Paths
from fourfold.spawner.process import read_text, write_text
from fourfold.supervise.spawner import connection
from fourfold.supervise.spawner.connection import Lost
from fourfold.supervise.spawner.program import SPAWNER_ARGV
from fourfold.supervise.spawner.starting import spawner_argv
from tests.supervise.containers import boxed, leaves_no_trace, needs_runtime, traces
from tests.supervise.rig import PATIENCE, Rig, alive, end, home, scenario, supervising, until
from tests.supervise.test_deaths import of_adopted

pytestmark = needs_runtime()

WAITS_FOR_TERM = ("sh", "-c", "trap 'exit 5' TERM; echo up; while :; do sleep 0.05; done")


def test_containers_outlive_the_spawner_and_are_adopted() -> None:
    async def test(rig: Rig) -> None:
        await rig.start(boxed(rig, "a.b-1-x", "sh", "-c", "sleep 1000 & exec sleep 1000"), {}, 1)
        await rig.start(boxed(rig, "a.c-1-x", *WAITS_FOR_TERM), {}, 2)
        await until(lambda: rig.lines("a.c-1-x", 2) == ["up"], "it does not run")
        before = rig.running()
        await rig.kill_spawner()
        assert rig.running() == before and rig.exits == [] and rig.usage("a.b-1-x") is not None
        entered = await rig.enter(boxed(rig, "a.b-1-x", "sh", "-c", "exit 3"), {}, False)
        assert await entered.wait() == 3
        await entered.close()
        await rig.signal("a.c-1-x", "TERM")
        exit = await rig.exit_of("a.c-1-x")
        assert exit.code in of_adopted(5) and (exit.signal, exit.run) == (None, 2)
        await rig.kill("a.b-1-x")
        assert (await rig.exit_of("a.b-1-x")).signal in of_adopted(9)

    scenario(leaves_no_trace(test))


def freeze(pid: int, folders: list[str]) -> None:
    groups = dict(line.split(":")[1:] for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines())
    v1 = f"/sys/fs/cgroup/freezer{groups.get('freezer')}/freezer.state"
    frozen = [write_text(v1, "FROZEN"), *(write_text(f"{each}/cgroup.freeze", "1") for each in folders)]
    assert any(frozen)


def test_a_frozen_container_is_killed() -> None:
    """By `runc pause`, say; v1 keeps from the frozen even that they are killed."""

    async def test(rig: Rig) -> None:
        identity = await rig.start(boxed(rig, "a.b-1-x", "sleep", "1000"), {}, 1)
        freeze(identity.pid, rig._groups.everywhere("a.b-1-x.1"))
        await rig.kill("a.b-1-x")
        assert (await rig.exit_of("a.b-1-x")).signal == 9

    scenario(leaves_no_trace(test))


def test_containers_outlive_the_daemon_and_a_new_version_of_the_spawner() -> None:
    async def test(paths: Paths) -> None:
        first = Rig(paths)
        await first.open()
        await first.start(boxed(first, "a.b-1-x", *WAITS_FOR_TERM), {}, 1)
        await until(lambda: first.lines("a.b-1-x") == ["up"], "it does not run")
        await first.close()
        async with supervising(paths) as second:
            await second._call("reexec", argv=spawner_argv(paths), within=15.0)
            pid = await second.spawner_pid()
            await until(lambda: b"--state" in Path(f"/proc/{pid}/cmdline").read_bytes(), "it did not re-exec")
            await second.signal("a.b-1-x", "TERM")
            assert (await second.exit_of("a.b-1-x")).code == 5

    with home() as paths:
        asyncio.run(test(paths))


def slowed(launch: Launch) -> Launch:
    """Its runtime takes so long that it can be looked at meanwhile, on a busy machine too."""
    assert launch.bundle is not None
    hooks = {"createRuntime": [{"path": "/bin/sleep", "args": ["sleep", "1"]}]}
    return replace(launch, bundle=replace(launch.bundle, config={**launch.bundle.config, "hooks": hooks}))


async def begun(first: Rig, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Its runtime is at work. -> what the spawner says of it."""
    for keeper in (first._bundles, first._groups):  # a daemon that dies clears nothing
        monkeypatch.setattr(keeper, "remove", lambda name: True)
    first._soon(first.start(slowed(boxed(first, "a.b-1-x", "sh", "-c", "echo ran; sleep 1000")), {}, 1))
    client = first._client
    assert client is not None
    async with asyncio.timeout(PATIENCE):
        while not (listed := await client.call("list")):  # noqa: ASYNC110 - there is no event: it is the spawner's
            await asyncio.sleep(0.001)
    assert listed[0]["pending"], "its runtime was too quick"
    return dict(listed[0])


async def die(first: Rig) -> None:
    assert first._client is not None
    first._closing = True
    await first._client.close()
    await asyncio.gather(*first._tasks, return_exceptions=True)


def test_the_daemon_dies_while_a_runtime_is_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(paths: Paths) -> None:
        first = Rig(paths)
        await first.open()
        runtime = await begun(first, monkeypatch)
        await die(first)
        async with supervising(paths) as second:
            assert second.running()["a.b-1-x"].pid != runtime["pid"]
            await until(lambda: second.lines("a.b-1-x") == ["ran"], "it does not run")
            await second.kill("a.b-1-x")
            assert (await second.exit_of("a.b-1-x")).signal == 9

    with home() as paths:
        asyncio.run(test(paths))


def test_a_runtime_that_hangs_does_not_keep_the_next_daemon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_LONGEST_START", 0.2)

    async def test(paths: Paths) -> None:
        first = Rig(paths)
        await first.open()
        os.kill((await begun(first, monkeypatch))["pid"], signal.SIGSTOP)
        await die(first)
        async with supervising(paths) as second:
            assert not second.running()
            await until(lambda: not second.groups(), "its groups were left")

    with home() as paths:
        asyncio.run(test(paths))


HURT = """
import os, signal, sys
sys.path.insert(0, {source!r})
from fourfold.spawner import child, handover, instances, journal, main
die = lambda: os.kill(os.getpid(), signal.SIGKILL)
point = {point!r}
start, running, left = journal.Journal.start, instances.Instances._is_running, handover.left_behind
def hurt_start(self, started):
    start(self, started)
    if point == "before go" and started.pending or point == "noted" and not started.pending: die()
def hurt_left(folder, status):
    if point == "runtime ended": die()
    return left(folder, status)
def hurt_running(self, instance):
    if point == "before answer": die()
    running(self, instance)
journal.Journal.start, instances.Instances._is_running, handover.left_behind = hurt_start, hurt_running, hurt_left
if point == "while the runtime works":
    close = instances.Instances._close_status
    def hurt_close(self, instance):
        close(self, instance)
        die()
    instances.Instances._close_status = hurt_close
sys.argv[1:] = {argv!r}
main.main()
"""


@pytest.mark.parametrize("point", ["before go", "while the runtime works", "runtime ended", "noted", "before answer"])
def test_the_spawner_dies_while_it_starts_one(point: str) -> None:
    async def test(paths: Paths) -> None:
        source = str(Path(spawner.__file__).parents[2])
        code = HURT.format(source=source, point=point, argv=spawner_argv(paths)[len(SPAWNER_ARGV) :])
        hurt = await asyncio.create_subprocess_exec(*SPAWNER_ARGV[:-1], "-c", code)
        await until(paths.spawner_socket.exists, "it did not start")
        rig = Rig(paths)
        launch = boxed(rig, "a.b-1-x", "sh", "-c", "echo ran; sleep 1000")
        await rig.open()
        await until(lambda: not rig.groups(), "what its start tried is left")
        before = traces(paths)
        runs = point in ("noted", "before answer")  # as another spawner finds out
        with nullcontext() if runs else pytest.raises(Lost):
            await rig.start(launch, {}, 1)
        await hurt.wait()
        await until(lambda: rig.lost, "no new spawner came")
        try:
            if runs:
                assert list(rig.running()) == ["a.b-1-x"]
                await until(lambda: rig.lines("a.b-1-x") == ["ran"], "it does not run")
                await rig.kill("a.b-1-x")
                await rig.exit_of("a.b-1-x")
            else:
                assert not rig.running()
            await until(lambda: traces(paths)["groups"] == set() and not traces(paths)["folders"], "a ghost was left")
            await rig.start(launch, {}, 2)
            await until(lambda: rig.lines("a.b-1-x", 2) == ["ran"], "it cannot be started again")
            await rig.kill("a.b-1-x")
            await until(lambda: [each.run for each in rig.exits][-1:] == [2], "it did not end")
            await until(
                lambda: {**traces(paths), "namespaces": None} == {**before, "namespaces": None}, "it left traces"
            )
        finally:
            await end(rig)

    with home() as paths:
        asyncio.run(test(paths))


@pytest.mark.parametrize("delay", [0.0, 0.005, 0.01, 0.02, 0.03])
def test_killed_while_it_starts(delay: float) -> None:
    async def test(rig: Rig) -> None:
        starting = asyncio.create_task(rig.start(boxed(rig, "a.b-1-x", "sleep", "1000"), {}, 1))
        await asyncio.sleep(delay)
        known = await rig.kill("a.b-1-x")
        try:
            started = await starting
        except WorldError as error:
            assert known and "cannot start a.b-1-x" in str(error)
        else:
            if not known:
                await rig.kill("a.b-1-x")
            assert (await rig.exit_of("a.b-1-x")).signal == 9
            assert not alive(started.pid)
        assert not rig.running()

    scenario(leaves_no_trace(test))


def test_the_runtime_alone_is_killed_while_it_starts_one() -> None:
    async def test(rig: Rig) -> None:
        starting = asyncio.create_task(rig.start(boxed(rig, "a.b-1-x", "sleep", "1000"), {}, 1))
        spawner_pid = await rig.spawner_pid()

        def runtimes() -> list[int]:
            children = Path(f"/proc/{spawner_pid}/task/{spawner_pid}/children").read_text().split()
            return [int(pid) for pid in children if (read_text(f"/proc/{pid}/cmdline") or "").startswith("runc\0")]

        await until(lambda: runtimes() or starting.done(), "no runtime came")
        for pid in runtimes():
            with suppress(ProcessLookupError):  # it was quicker
                os.kill(pid, 9)
        try:
            await starting
        except WorldError as error:
            assert "its runtime ended with status 9" in str(error)
        else:
            await rig.kill("a.b-1-x")
            await rig.exit_of("a.b-1-x")

    scenario(leaves_no_trace(test))
