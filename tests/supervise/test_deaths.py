"""The daemon dies, the spawner dies, both die, at every point: nothing is lost, doubled or mistaken."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from contextlib import nullcontext
from pathlib import Path

import pytest

from fourfold import spawner
from fourfold.paths import Paths
from fourfold.spawner.process import Stat, boot_id
from fourfold.supervise import logs
from fourfold.supervise.model import Exit
from fourfold.supervise.spawner import starting
from fourfold.supervise.spawner.connection import Lost
from fourfold.supervise.spawner.program import SPAWNER_ARGV
from fourfold.supervise.spawner.questions import Gone
from fourfold.supervise.spawner.starting import spawner_argv
from fourfold.supervise.spawner.wire import Client, Refused
from tests.supervise.rig import Rig, alive, end, home, scenario, supervising, until

EXITS_7_ON_TERM = ("sh", "-c", "trap 'exit 7' TERM; echo up; while :; do sleep 0.05; done")
CODES_OF_ADOPTED = tuple(int(part) for part in os.uname().release.split("-")[0].split(".")[:2]) >= (6, 15)


def of_adopted(number: int) -> tuple[int | None, ...]:
    """What may be told: before Linux 6.15 only who looks before the new parent has waited knows the number."""
    return (number,) if CODES_OF_ADOPTED else (number, None)


def test_exits_while_no_daemon_was_there_are_told_to_the_next() -> None:
    async def test(paths: Paths) -> None:
        first = Rig(paths)
        await first.open()
        pid = (await first.start(first.launch("a.b-1-x", *EXITS_7_ON_TERM), {}, 3)).pid
        await until(lambda: first.lines("a.b-1-x", 3) == ["up"], "it did not start")
        await first.sleeper("a.c-1-x")
        running = first.running()
        await first.close()
        os.kill(pid, signal.SIGTERM)
        await until(lambda: not alive(pid), "it did not end")
        async with supervising(paths) as second:
            await until(lambda: second.exits, "nothing was told")
            assert [(each.instance, each.code, each.run) for each in second.exits] == [("a.b-1-x", 7, 3)]
            assert second.running() == {"a.c-1-x": running["a.c-1-x"]}
            await until(lambda: not second._exits._noted, "it was not acknowledged")
            await second.close()
            third = Rig(paths)
            await third.open()
            assert third.exits == []
            await third.close()
            await second.open()

    with home() as paths:
        asyncio.run(test(paths))


def test_an_exit_nobody_could_note_comes_again() -> None:
    async def test(paths: Paths) -> None:
        refused: list[Exit] = []

        def full_disk(exit: Exit) -> None:
            refused.append(exit)
            raise OSError(28, "No space left on device")

        first = Rig(paths, on_exit=full_disk)
        await first.open()
        await first.start(first.launch("a.b-1-x", "sh", "-c", "exit 7"), {}, 1)
        await until(lambda: refused, "it did not end")
        await first.close()
        async with supervising(paths) as second:
            assert [each.code for each in second.exits] == [7]

    with home() as paths:
        asyncio.run(test(paths))


def test_an_exit_is_told_once_though_the_spawner_tells_it_twice() -> None:
    async def test(rig: Rig) -> None:
        rig._exits._acknowledge = lambda seq: None  # as if it had not got through
        await rig.run("a.b-1-x", "sh", "-c", "exit 7")
        await rig.kill_spawner()
        await rig.run("a.c-1-x", "true")
        assert [each.instance for each in rig.exits] == ["a.b-1-x", "a.c-1-x"]

    scenario(test)


def test_instances_outlive_the_spawner_and_are_adopted() -> None:
    async def test(rig: Rig) -> None:
        await rig.sleeper("a.b-1-x")
        command = "trap 'exit 5' TERM; echo up; while :; do sleep 0.05; done"
        await rig.start(rig.launch("a.c-1-x", "sh", "-c", command), {}, 2)
        await until(lambda: rig.lines("a.c-1-x", 2) == ["up"], "it did not start")
        before = rig.running()
        dead = await rig.kill_spawner()
        assert await rig.spawner_pid() != dead
        assert rig.running() == before and rig.exits == []
        assert rig.usage("a.c-1-x") is not None
        await rig.signal("a.c-1-x", "TERM")
        exit = await rig.exit_of("a.c-1-x")
        assert exit.code in of_adopted(5) and (exit.signal, exit.run) == (None, 2)
        await rig.kill("a.b-1-x")
        assert (await rig.exit_of("a.b-1-x")).signal in of_adopted(9)
        exit, _ = await rig.run("a.d-1-x", "sh", "-c", "exit 4")
        assert exit.code == 4
        await until(lambda: not rig.groups(), "groups were left")

    scenario(test)


def test_what_ended_while_everybody_was_dead_is_unknown() -> None:
    async def test(paths: Paths) -> None:
        first = Rig(paths)
        await first.open()
        orphaned = "sleep 1000 & exec sleep 1000"
        pid = (await first.start(first.launch("a.b-1-x", "sh", "-c", orphaned), {}, 1)).pid
        await first.sleeper("a.c-1-x")
        spawner_pid = await first.spawner_pid()
        await first.close()
        for each in (spawner_pid, pid):
            os.kill(each, signal.SIGKILL)
        await until(lambda: not alive(pid) and not alive(spawner_pid), "they did not die")
        async with supervising(paths) as second:
            await until(lambda: second.exits, "nothing was told")
            (exit,) = second.exits
            assert (exit.instance, exit.code, exit.signal) == ("a.b-1-x", None, None)
            assert str(exit) == "exit status unknown"
            assert list(second.running()) == ["a.c-1-x"]
            await until(lambda: second.groups() == second_group(second), "the rest of its tree lives")

    def second_group(rig: Rig) -> set[str]:
        return {"a.c-1-x.1"} if rig._groups.hierarchies else set()

    with home() as paths:
        asyncio.run(test(paths))


def test_a_lost_journal_loses_no_control() -> None:
    """What runs in our groups and nobody knows is ended, and told."""

    async def test(rig: Rig) -> None:
        if not rig._groups.hierarchies:
            pytest.skip("no cgroups here")
        pid = await rig.sleeper("a.b-1-x")
        rig.paths.spawner_journal.unlink()
        await rig.kill_spawner()
        assert (await rig.exit_of("a.b-1-x")).code is None
        await until(lambda: not alive(pid), "it lives, unknown to all")

    scenario(test)


HURT = """
import os, signal, sys
sys.path.insert(0, {source!r})
from fourfold.spawner import instances, journal, main
die = lambda: os.kill(os.getpid(), signal.SIGKILL)
point = {point!r}
start, running = journal.Journal.start, instances.Instances._is_running
def hurt_start(self, started):
    if point == "before journal": die()
    start(self, started)
    if point == "before go": die()
def hurt_running(self, instance):
    if point == "before answer": die()
    running(self, instance)
journal.Journal.start, instances.Instances._is_running = hurt_start, hurt_running
sys.argv[1:] = {argv!r}
main.main()
"""


@pytest.mark.parametrize("point", ["before journal", "before go", "before answer"])
def test_the_spawner_dies_while_it_starts_something(point: str, tmp_path: Path) -> None:
    async def test(paths: Paths) -> None:
        source = str(Path(spawner.__file__).parents[2])
        argv = spawner_argv(paths)[len(SPAWNER_ARGV) :]
        code = HURT.format(source=source, point=point, argv=argv)
        hurt = await asyncio.create_subprocess_exec(*SPAWNER_ARGV[:-1], "-c", code)
        await until(paths.spawner_socket.exists, "it did not start")
        rig = Rig(paths)
        launch = rig.launch("a.b-1-x", "sh", "-c", "echo ran; sleep 1000")
        await rig.open()
        runs = point == "before answer"  # as another spawner finds out
        with nullcontext() if runs else pytest.raises(Lost):
            await rig.start(launch, {}, 1)
        await hurt.wait()
        await until(lambda: rig.lost, "no new spawner came")
        try:
            if runs:
                assert list(rig.running()) == ["a.b-1-x"]
                await until(lambda: rig.lines("a.b-1-x") == ["ran"], "it does not run")
            else:
                await until(lambda: not rig.running() and not rig.groups(), "a ghost runs")
                assert rig.lines("a.b-1-x") == []
                assert [(each.instance, each.signal) for each in rig.exits][:1] in ([], [("a.b-1-x", None)])
                await rig.start(launch, {}, 2)
                await until(lambda: rig.lines("a.b-1-x", 2) == ["ran"], "it cannot be started again")
        finally:
            await end(rig)

    with home() as paths:
        asyncio.run(test(paths))


@pytest.mark.parametrize("forged", ["start_time", "boot_id"])
def test_a_recycled_pid_is_never_signalled(forged: str) -> None:
    """A journal that names a living process which is not the one that was started."""

    async def test(paths: Paths) -> None:
        stat = Stat.of(bystander.pid)
        assert stat is not None
        started = {
            "instance": "a.b-1-x",
            "run": 1,
            "pid": bystander.pid,
            "start_time": stat.start_time - (forged == "start_time"),
            "boot_id": "another-boot" if forged == "boot_id" else boot_id(),
            "cgroups": [],
            "log": None,
            "log_bytes": 0,
            "held": forged == "start_time",
            "inside": None,
            "user": None,
            "cwd": "/",
            "private": False,
            "user_namespace": False,
            "network": "host",
        }
        lines = [{"seq": 5}, {"started": started}, {"started": {**started, "held": False, "instance": "a.c-1-x"}}]
        torn = '{"started": {"instance": "a.z'
        paths.spawner_journal.write_text("\n".join([*map(json.dumps, lines), torn]))
        async with supervising(paths) as rig:
            told = {"a.c-1-x"} if started["held"] else {"a.b-1-x", "a.c-1-x"}
            await until(lambda: len(rig.exits) == len(told), "nothing was told")
            assert {(each.instance, each.code, each.signal) for each in rig.exits} == {(n, None, None) for n in told}
            assert rig.running() == {}
            for name in ("a.b-1-x", "a.c-1-x"):
                await rig.signal(name, "TERM")
                await rig.kill(name)
        assert bystander.poll() is None

    bystander = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    try:
        with home() as paths:
            asyncio.run(test(paths))
    finally:
        bystander.kill()
        bystander.wait()


def test_reexec_keeps_children_exits_and_connections() -> None:
    async def test(rig: Rig) -> None:
        await rig.start(rig.launch("a.b-1-x", *EXITS_7_ON_TERM), {}, 1)
        await until(lambda: rig.lines("a.b-1-x") == ["up"], "it did not start")
        pid = await rig.spawner_pid()
        attached = await rig.attach(rig.launch("a.r-run", "cat"), {}, False)
        await rig._call("reexec", argv=spawner_argv(rig.paths), within=0.0)
        await rig.spawner_pid()
        assert await rig.spawner_pid() == pid and not reexecuted(pid), "nobody waits for it any more"
        await rig._call("reexec", argv=spawner_argv(rig.paths), within=15.0)
        await until(lambda: reexecuted(pid), "it did not re-exec")
        assert await rig.spawner_pid() == pid and rig.lost == []
        assert list(rig.running()) == ["a.b-1-x"]
        await rig.signal("a.b-1-x", "TERM")
        assert (await rig.exit_of("a.b-1-x")).code == 7
        _, lines = await rig.run("a.c-1-x", "sh", "-c", "echo hi")
        assert lines[-1] == "hi"
        await attached.close()

    scenario(test)


def reexecuted(pid: int) -> bool:
    return b"--state" in Path(f"/proc/{pid}/cmdline").read_bytes()


def test_one_spawner_per_home() -> None:
    async def test(rig: Rig) -> None:
        done = await asyncio.create_subprocess_exec(*spawner_argv(rig.paths), "--detach")
        assert await done.wait() == 3
        await rig.sleeper("a.b-1-x")
        assert rig.paths.spawner_socket.stat().st_mode & 0o777 == 0o600

    scenario(test)


def test_one_that_is_about_to_end_is_followed_by_another() -> None:
    """Whoever comes in the moment after it was told to end is let in, and hears nothing."""

    async def test(paths: Paths) -> None:
        def end_itself(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            paths.spawner_socket.unlink()
            ending.close()
            writer.close()

        ending = await asyncio.start_unix_server(end_itself, paths.spawner_socket)
        async with supervising(paths) as rig:
            assert alive(await rig.spawner_pid())

    with home() as paths:
        asyncio.run(test(paths))


def test_nonsense_does_not_end_the_spawner() -> None:
    async def test(rig: Rig) -> None:
        pid = await rig.spawner_pid()
        reader, writer = await asyncio.open_unix_connection(str(rig.paths.spawner_socket))
        for line in (
            b"\xff\xfe",
            b"[]",
            b"{}",
            b'{"id": 1, "op": "spawn"}',
            b'{"id": 2, "op": "spawn", "spawn": {}}',
            b"7",
        ):
            writer.write(line + b"\n")
            assert b"error" in await reader.readline()
        writer.close()
        client = await Client.connect(rig.paths.spawner_socket, lambda event: None, lambda: None)
        await rig.sleeper("a.b-1-x")
        with pytest.raises(Refused, match="1 instances run"):
            await client.call("shutdown")
        await client.close()
        with pytest.raises(Gone):
            await client.call("hello")
        assert await rig.spawner_pid() == pid

    scenario(test)


def test_a_spawner_that_is_slow_to_start_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine without a moment to spare: whoever has waited too long looks once more before giving up."""
    monkeypatch.setattr(starting, "_PATIENCE", 0.0)

    async def test(rig: Rig) -> None:
        assert alive(await rig.spawner_pid())

    scenario(test)


def test_many_start_at_once() -> None:
    async def test(rig: Rig) -> None:
        await asyncio.gather(*(rig.sleeper(f"a.b-1-{number}") for number in range(40)))
        assert len(rig.running()) == 40
        assert all(logs.path_of(rig.paths, name, 1).exists() for name in rig.running())
        await asyncio.gather(*(rig.kill(name) for name in rig.running()))
        await until(lambda: len(rig.exits) == 40, "not all ended")
        assert len({each.seq for each in rig.exits}) == 40

    scenario(test)


def test_a_spawner_that_ends_before_its_answer_is_taken() -> None:
    async def test(paths: Paths) -> None:
        rig = Rig(paths)
        await rig.open()
        client = rig._client
        assert client is not None
        call = client.call

        async def slowly(op: str) -> None:
            await call(op)
            await until(lambda: rig._client is None, "it did not end")

        client.call = slowly  # type: ignore[method-assign,assignment]
        await rig.close()

    with home() as paths:
        asyncio.run(test(paths))
