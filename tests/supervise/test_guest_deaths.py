"""Daemon, spawner and host die, or hang, or do as they like: no guest and no end is lost, doubled or mistaken."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from pathlib import Path

import pytest

from fourfold.errors import WorldError
from fourfold.paths import Paths
from fourfold.supervise.hosts import guests, hearing, hosts, link
from fourfold.supervise.model import Exit, Identity
from tests.supervise.hosting import GUEST, HOST, OTHER, guest, guest_launch, host, host_launch, shorter
from tests.supervise.rig import Rig, alive, home, names, scenario, script, supervising, until

THIRD = "shop.more-1-dddd"
NEVER = "shop.late-1-eeee"


def test_a_new_daemon_takes_over_guests_and_their_ends() -> None:
    async def test(paths: Paths) -> None:
        first = Rig(paths)
        await first.open()
        await host(first)
        worker = await guest(first, "run", "sh", "-c", "trap 'exit 7' TERM; echo up; while :; do sleep 0.05; done")
        other = await guest(first, "run", "sleep", "1000", name=OTHER)
        await guest(first, "inside", name=THIRD)
        await until(lambda: "up" in first.lines(GUEST), "it did not start")
        running = first.running()
        await first.close()
        os.kill(worker.pid, signal.SIGTERM)
        await until(lambda: not alive(worker.pid), "it did not end")
        async with supervising(paths) as second:
            await until(lambda: second.exits, "its end was not told")
            assert second.running() == {name: running[name] for name in (HOST, OTHER, THIRD)}
            assert [(end.instance, end.code, end.run) for end in second.exits] == [(GUEST, 7, 1)]
            await until(lambda: GUEST not in names(paths.hosts / f"{HOST}.1"), "its artifact was left")
            await until(lambda: not second._exits._noted, "its end was not forgotten")
            await second.close()
            third = Rig(paths)
            await third.open()
            assert third.exits == [], "its end was told again"
            os.kill(third.running()[HOST].pid, signal.SIGKILL)
            assert (await third.exit_of(HOST)).signal == 9
            await until(lambda: not third.running() and not alive(other.pid), "guests outlive their host")
            await until(lambda: not names(paths.hosts), "its folder was left")
            assert [end.instance for end in third.exits] == [HOST], "that of its guests follows from it"
            await third.close()
            await second.open()

    with home() as paths:
        asyncio.run(test(paths))


def test_what_a_host_does_without_a_daemon_is_found_out() -> None:
    async def test(paths: Paths) -> None:
        first = Rig(paths)
        await first.open()
        await host(first)
        for name in (GUEST, OTHER):
            await guest(first, "inside", name=name)
        await first.close()
        folder = paths.hosts / f"{HOST}.1"
        record = json.loads((folder / f"{OTHER}.json").read_text())
        (folder / f"{NEVER}.json").write_text(json.dumps(record | {"pid": None}))  # was about to be started
        (folder / f"{OTHER}.json").unlink()  # nobody wants this one any more
        talk(folder, b'{"id": 1, "do": "stop", "guest": "%b", "run": 1}' % GUEST.encode())
        talk(folder, b'{"id": 2, "do": "forget", "guest": "%b", "run": 1}' % GUEST.encode())
        talk(folder, b'{"id": 3, "do": "start", "guest": "%b", "run": 1, "argv": ["fails"], "env": {}, '
                     b'"tree": "/guests/%b", "log": "/dev/null"}' % (THIRD.encode(), OTHER.encode()))  # fmt: skip
        async with supervising(paths) as second:
            await until(lambda: second.exits, "its end was not told")
            assert [(end.instance, end.code, str(end)) for end in second.exits] == [
                (GUEST, None, "its host knows nothing of it any more")
            ]
            assert set(second.running()) == {HOST}
            await until(lambda: OTHER.encode() not in talk(folder, b'{"id": 4, "do": "list"}'), "it was not ended")
            await until(lambda: THIRD.encode() not in talk(folder, b'{"id": 4, "do": "list"}'), "it was not forgotten")

    with home() as paths:
        asyncio.run(test(paths))


def test_a_daemon_that_ends_in_the_middle_of_a_start() -> None:
    async def test(paths: Paths) -> None:
        first = Rig(paths)
        await first.open()
        main = await host(first)
        folder = paths.hosts / f"{HOST}.1"
        os.kill(main.pid, signal.SIGSTOP)
        starting = asyncio.create_task(guest(first, "inside"))
        known = first._guests._hosts.get(HOST)
        assert known is not None and known.link is not None
        await until(lambda: known.link is not None and len(known.link.questions) > 0, "nobody was asked to start it")
        starting.cancel()
        await asyncio.wait([starting])
        await first.close()
        os.kill(main.pid, signal.SIGCONT)
        await until(lambda: GUEST.encode() in talk(folder, b'{"id": 4, "do": "list"}'), "it was not started")
        async with supervising(paths) as second:
            assert set(second.running()) == {HOST, GUEST} and second.exits == []

    with home() as paths:
        asyncio.run(test(paths))


def talk(folder: Path, line: bytes) -> bytes:
    """One request to a host, beside the daemon. -> the answer."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(30)
        sock.connect(str(folder / "own" / "control.sock"))
        sock.sendall(line + b"\n")
        return sock.recv(65536)


def test_an_end_that_nobody_could_note_comes_again() -> None:
    async def test(paths: Paths) -> None:
        refused: list[Exit] = []

        def full_disk(exit: Exit) -> None:
            refused.append(exit)
            raise OSError(28, "No space left on device")

        first = Rig(paths, on_exit=full_disk)
        await first.open()
        await host(first)
        await guest(first, "run", "sh", "-c", "exit 7")
        await until(lambda: refused, "it did not end")
        await first.close()
        async with supervising(paths) as second:
            assert [(end.instance, end.code) for end in second.exits] == [(GUEST, 7)]

    with home() as paths:
        asyncio.run(test(paths))


def test_spawner_and_daemon_die_together() -> None:
    async def test(paths: Paths) -> None:
        first = Rig(paths)
        await first.open()
        await host(first)
        worker = await guest(first, "run", "sleep", "1000")
        await first.kill_spawner()
        assert set(first.running()) == {HOST, GUEST} and first.exits == []
        pid = await first.spawner_pid()
        await first.close()
        os.kill(pid, signal.SIGKILL)
        await until(lambda: not alive(pid), "it did not die")
        async with supervising(paths) as second:
            assert second.running()[GUEST] == worker
            await second.signal(GUEST, "TERM")
            assert (await second.exit_of(GUEST)).signal == 15

    with home() as paths:
        asyncio.run(test(paths))


def test_a_host_that_dies_in_the_middle_of_a_start() -> None:
    async def test(rig: Rig) -> None:
        await host(rig)
        await guest(rig, "run", "sleep", "1000", name=OTHER)
        with pytest.raises(WorldError, match=f"cannot reach the host {HOST}: it has ended"):
            await guest(rig, "die")
        assert [end.instance for end in rig.exits] == [HOST] and rig.running() == {}
        assert not await rig.signal(OTHER, "TERM")
        await until(lambda: not names(rig.paths.hosts) and not rig.groups(), "something of it was left")
        await host(rig, run=2)
        await rig.start(guest_launch(rig, "inside", run=2), {}, 2)
        assert set(rig.running()) == {HOST, GUEST}

    scenario(test)


def test_a_host_that_hangs_hides_no_death_of_a_worker() -> None:
    async def test(paths: Paths) -> None:
        first = Rig(paths)
        await first.open()
        main = await host(first)
        worker = await guest(first, "run", "sleep", "1000")
        with shorter(link, ANSWER_SECONDS=0.3), shorter(hosts, ANSWER_SECONDS=0.3):
            await hung(paths, first, main, worker)

    async def hung(paths: Paths, first: Rig, main: Identity, worker: Identity) -> None:
        with pytest.raises(WorldError, match=f"cannot reach the host {HOST}: no answer in"):
            await guest(first, "hang", name=OTHER)
        with pytest.raises(WorldError, match=f"cannot reach the host {HOST}"):
            await first.ask(HOST)
        assert await first.signal(GUEST, "TERM"), "it is tried, and nobody waits for that"
        assert first.running() == {HOST: main, GUEST: worker}
        await first.close()
        async with supervising(paths) as second:
            assert second.running() == {HOST: main, GUEST: worker}, "what is recorded counts"
            assert await second.kill(GUEST)
            end = await second.exit_of(GUEST)
            assert end.signal in (9, None) and not alive(worker.pid)
            assert await second.kill(HOST)
            await second.exit_of(HOST)

    with home() as paths, shorter(guests, _TAKING_OVER=0.3), shorter(hearing, _LATE=0.1):
        asyncio.run(test(paths))


def test_a_host_that_hangs_ends_with_what_is_to_end_in_it() -> None:
    async def test(rig: Rig) -> None:
        await host(rig)
        await guest(rig, "inside")
        with shorter(link, ANSWER_SECONDS=0.3), shorter(hosts, ANSWER_SECONDS=0.3):
            with pytest.raises(WorldError, match="no answer in"):
                await guest(rig, "hang", name=OTHER)
            with pytest.raises(WorldError, match="no answer in"):
                await rig.ask(HOST)
            assert await rig.kill(GUEST)
            assert str(await rig.exit_of(HOST)) == f"killed: it hung, and {GUEST} in it was to be ended"
        assert rig.running() == {}

    scenario(test)


def test_a_host_that_talks_nonsense_is_heard_for_what_makes_sense() -> None:
    async def test(rig: Rig) -> None:
        await host(rig)
        with shorter(link, ANSWER_SECONDS=0.5), shorter(hosts, ANSWER_SECONDS=0.5), pytest.raises(WorldError):
            await guest(rig, "flood")  # its answer comes behind a line without end, each time
        await guest(rig, "inside", name=OTHER)
        assert set(rig.running()) == {HOST, OTHER}

    scenario(test)


LAYS_LINKS = """
import os, socket, sys, time
own = sys.argv[1] + "/own"
os.chdir(own)
if sys.argv[2] == "link":
    os.symlink(sys.argv[3], "control.sock")
elif sys.argv[2] == "fifo":
    os.mkfifo("control.sock")
elif sys.argv[2] == "folder":
    os.mkdir("control.sock")
time.sleep(1000)
"""


@pytest.mark.parametrize("what", ["link", "fifo", "folder", "others"])
def test_only_a_socket_of_its_own_is_talked_to(what: str) -> None:
    """A host that would have the daemon, who is root, talk to another's socket, or wait for nothing."""

    async def test(rig: Rig) -> None:
        bait = Path(rig.paths.home or "", "bait.sock")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(bait))
            listener.listen()
            os.chmod(bait, 0o777)  # noqa: PTH101
            folder = host_launch(rig).guests or ""
            seen = "/guests" if rig.powers.private else folder
            argv = script(LAYS_LINKS)
            launch = host_launch(rig, argv=(*argv, seen, what, str(bait)))
            await rig.start(launch, {}, 1)
            if what == "others":
                os.link(bait, Path(folder, "own", "control.sock"))
            found = rig._guests._hosts.get(HOST)
            assert found is not None
            await until(lambda: "not there" not in found.trouble, "it was not looked at")
            with pytest.raises(WorldError, match=r"own/control\.sock is"):
                await rig.ask(HOST)
            listener.setblocking(False)
            try:
                heard = listener.accept()[0].recv(10)
            except BlockingIOError:
                heard = b""
            assert heard == b"", "something was said to it"

    scenario(test)
