"""Programs with held streams: one-offs and entering a running instance."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from fourfold.errors import ConflictError, UserError, WorldError
from fourfold.supervise.attach import Attached
from tests.supervise.rig import PATIENCE, SERVICE, Rig, alive, names, scenario, until


async def everything(attached: Attached) -> tuple[bytes, bytes, int]:
    streams = {1: b"", 2: b""}
    while (piece := await attached.read()) is not None:
        streams[piece[0]] += piece[1]
    code = await attached.wait()
    await attached.close()
    return streams[1], streams[2], code


async def line(attached: Attached) -> bytes:
    """A terminal may give the end of one later than the rest."""
    text = b""
    while not text.endswith(b"\n") and (piece := await attached.read()) is not None:
        text += piece[1]
    return text


def test_streams_and_code() -> None:
    async def test(rig: Rig) -> None:
        attached = await rig.attach(rig.launch("a.r-run", "sh", "-c", "cat; echo oops >&2; exit 3"), {}, False)
        big = os.urandom(1 << 20)

        async def feed() -> None:
            await attached.write(big)
            await attached.close_input()

        _, result = await asyncio.gather(feed(), everything(attached))
        assert result == (big, b"oops\n", 3)
        assert rig.exits == []
        await until(lambda: not rig.groups(), "its group was not removed")

    scenario(test)


def test_a_terminal_has_a_size_and_takes_signals() -> None:
    async def test(rig: Rig) -> None:
        command = "trap 'stty size; exit 4' WINCH; test -t 0 && echo ready >/dev/tty; while :; do sleep 0.05; done"
        attached = await rig.attach(rig.launch("a.r-run", "sh", "-c", command), {}, True)
        assert await line(attached) == b"ready\r\n"
        attached.resize(33, 99)
        assert await everything(attached) == (b"33 99\r\n", b"", 4)
        attached = await rig.attach(rig.launch("a.r-run", "sleep", "1000"), {}, True)
        await attached.write(b"\x03")
        assert (await everything(attached))[2] == 130
        attached = await rig.attach(rig.launch("a.r-run", "sleep", "1000"), {}, True)
        attached.signal("TERM")
        assert (await everything(attached))[2] == 143

    scenario(test)


def test_closing_ends_the_whole_tree() -> None:
    async def test(rig: Rig) -> None:
        attached = await rig.attach(rig.launch("a.r-run", "sh", "-c", "sleep 1000 & echo $!; wait"), {}, False)
        piece = await attached.read()
        assert piece is not None
        await attached.close()
        assert not alive(int(piece[1]))
        with pytest.raises(UserError, match="no such command"):
            await rig.attach(rig.launch("a.r-run", "no-such-command"), {}, False)

    scenario(test)


def test_what_is_attached_ends_with_the_daemon() -> None:
    async def test(rig: Rig) -> None:
        attached = await rig.attach(rig.launch("a.r-run", "sh", "-c", "echo $$; exec sleep 1000"), {}, False)
        piece = await attached.read()
        assert piece is not None
        await rig.close()
        await until(lambda: not alive(int(piece[1])), "it goes on with nobody to hear it")
        await rig.open()

    scenario(test)


def test_what_is_attached_ends_with_the_spawner() -> None:
    async def test(rig: Rig) -> None:
        attached = await rig.attach(rig.launch("a.r-run", "sh", "-c", "echo $$; exec sleep 1000"), {}, False)
        piece = await attached.read()
        await rig.kill_spawner()
        assert await attached.wait() == 137 and piece is not None
        await until(lambda: not alive(int(piece[1])), "it goes on with nobody to hear it")
        await attached.close()

    scenario(test)


def test_one_that_was_to_be_attached_when_the_spawner_died_is_told_why() -> None:
    async def test(rig: Rig) -> None:
        pid, before = await rig.spawner_pid(), len(names("/proc/self/fd"))
        os.kill(pid, signal.SIGSTOP)
        attaching = asyncio.create_task(rig.attach(rig.launch("a.r-run", "true"), {}, False))
        await until(rig.attached, "it does not begin")
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(WorldError, match="cannot reach the spawner"):
            await attaching
        await until(lambda: rig.lost, "no new spawner came")
        assert len(names("/proc/self/fd")) == before and not rig.attached()

    scenario(test)


def test_one_that_nobody_waits_for_any_more_when_it_is_started_ends() -> None:
    async def test(rig: Rig) -> None:
        await rig.sleeper("a.b-1-x")
        pid = await rig.spawner_pid()
        os.kill(pid, signal.SIGSTOP)
        entering = asyncio.create_task(rig.enter(rig.launch("a.b-1-x", "sleep", "1000"), {}, False))
        await until(rig.attached, "it does not begin")
        await asyncio.sleep(0)  # and has been asked for
        entering.cancel()
        os.kill(pid, signal.SIGCONT)
        await asyncio.gather(entering, return_exceptions=True)
        async with asyncio.timeout(PATIENCE):
            while len(await rig._call("list")) > 1:
                pass

    scenario(test)


def processes(rig: Rig, instance: str) -> int:
    usage = rig.usage(instance)
    return usage.processes if usage is not None else 0


@pytest.mark.parametrize("tty", [False, True])
def test_entering_shares_view_user_and_groups(tty: bool) -> None:
    async def test(rig: Rig) -> None:
        await rig.start(rig.launch("a.b-1-x", "sh", "-c", "echo inside > /tmp/ff-note; exec sleep 1000"), {}, 1)
        command = "until cat /tmp/ff-note 2>/dev/null; do sleep 0.01; done; id -u; sleep 1000 & exit 6"
        launch = rig.launch("a.b-1-x", "sh", "-c", command)
        attached = await rig.enter(launch, {}, tty)
        out, _, code = await everything(attached)
        uid = SERVICE.uid if rig.powers.users else os.getuid()
        assert (out.split(), code) == ([b"inside", str(uid).encode()], 6)
        if rig._groups.hierarchies:
            # What it left behind belongs to the instance; the end of a terminal's session ends its foreground too.
            await until(lambda: processes(rig, "a.b-1-x") == (1 if tty else 2), "wrong number of processes")
        assert list(rig.running()) == ["a.b-1-x"] and rig.exits == []
        held = await rig.enter(rig.launch("a.b-1-x", "sleep", "1000"), {}, tty)
        await rig.kill("a.b-1-x")
        assert await held.wait() == 137
        await held.close()
        await rig.exit_of("a.b-1-x")
        with pytest.raises(ConflictError, match="does not run"):
            await rig.enter(launch, {}, tty)

    scenario(test)


def test_closing_what_entered_leaves_the_instance_alone() -> None:
    async def test(rig: Rig) -> None:
        pid = await rig.sleeper("a.b-1-x")
        attached = await rig.enter(rig.launch("a.b-1-x", "sh", "-c", "echo $$; exec sleep 1000"), {}, False)
        piece = await attached.read()
        assert piece is not None
        await attached.close()
        assert alive(pid) and not alive(int(piece[1]))
        await rig.enter(rig.launch("a.b-1-x", "sleep", "1000"), {}, False)
        await rig.kill_spawner()
        assert alive(pid) and list(rig.running()) == ["a.b-1-x"]

    scenario(test)
