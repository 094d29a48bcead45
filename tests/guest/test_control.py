"""The control channel, from the client to the programs in the guest."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable

import pytest

from fourfold.errors import WorldError
from fourfold.launch.model import User
from fourfold.supervise.attach import Attached
from fourfold.supervise.machines.frames import Kind, frame
from fourfold.supervise.machines.guest import Guest
from tests.guest.machine import PATIENCE, Guests, Machine, shell
from tests.support.wait import until

ENV = {"PATH": "/bin"}
SERVICE = User(1000, 1000, "service")
WAITING = "trap 'echo told; exit 5' TERM; trap 'echo again' HUP; echo ready; while :; do sleep 1000 & wait $!; done"
HALF = b"\x00\x20\x00\x00\x01\x00\x05\x00half"
"""The beginning of an INPUT."""

Test = Callable[[Machine, Guest], Awaitable[None]]


def scenario(guests: Guests, test: Test, *more: tuple[str, str], service: str = WAITING) -> None:
    with guests.clone(shell(service, *more)) as it:
        it.until("started")
        until(lambda: "ready" in it.output)

        async def run() -> None:
            guest = await Guest.connect(it.control, PATIENCE)
            try:
                async with asyncio.timeout(120):
                    await test(it, guest)
            finally:
                await guest.close()

        asyncio.run(run())


async def everything(attached: Attached) -> tuple[bytes, bytes, int]:
    streams = {1: b"", 2: b""}
    while (piece := await attached.read()) is not None:
        streams[piece[0]] += piece[1]
    return streams[1], streams[2], await attached.wait()


async def run(guest: Guest, *argv: str, user: User | None = SERVICE) -> tuple[bytes, bytes, int]:
    session = await guest.execute(argv, ENV, "/", user, (), False)
    await session.close_input()
    return await everything(session)


def press(it: Machine) -> None:
    it.command({"execute": "system_powerdown"})


def test_power_button(guests: Guests) -> None:
    async def test(it: Machine, guest: Guest) -> None:
        await asyncio.to_thread(press, it)
        assert await asyncio.to_thread(it.ended) == ["started", "ended exit 5"]
        assert it.output == "ready\ntold\n"
        await asyncio.wait_for(guest.closed.wait(), PATIENCE)
        with pytest.raises(WorldError, match="gone"):
            await guest.usage()

    scenario(guests, test)


def test_what_does_not_end_is_killed(guests: Guests) -> None:
    async def test(it: Machine, guest: Guest) -> None:
        await asyncio.to_thread(press, it)
        assert (await asyncio.to_thread(it.ended))[-1] == "ended signal 9"

    scenario(guests, test, ("grace", "1"), ("stop", "HUP"))


OBSTINATE = "trap '' TERM; echo ready; while :; do sleep 1000; done"


@pytest.mark.parametrize(
    ("script", "grace", "ends"), [(WAITING, "60", (b"told\n", 5)), (OBSTINATE, "1", (b"", 128 + 9))]
)
def test_power_button_of_an_idle_machine(guests: Guests, script: str, grace: str, ends: tuple[bytes, int]) -> None:
    """Its programs are asked to end; how they did is told before the machine has gone."""

    async def pressed(it: Machine) -> tuple[bytes, int]:
        guest = await Guest.connect(it.control, PATIENCE)
        session = await guest.execute(["sh", "-c", script], ENV, "/", SERVICE, (), False)
        assert (first := await session.read()) is not None and first[1] == b"ready\n"
        await asyncio.to_thread(press, it)
        out, _, code = await everything(session)
        return out, code

    with guests.clone([("idle", "1"), ("grace", grace)]) as it:
        it.until("started")
        assert asyncio.run(pressed(it)) == ends
        assert it.ended()[-1] == "started"


def test_an_idle_machine_with_no_program_powers_down_at_once(guests: Guests) -> None:
    with guests.clone([("idle", "1")]) as it:
        it.until("started")
        press(it)
        assert it.ended()[-1] == "started"


def test_signals_usage_and_time(guests: Guests) -> None:
    async def test(it: Machine, guest: Guest) -> None:
        await guest.signal("HUP")
        await asyncio.to_thread(until, lambda: "again" in it.output)
        with pytest.raises(WorldError, match="no such signal"):
            await guest.signal("NOTHING")
        usage = await guest.usage()
        assert usage.processes >= 2
        assert 50 << 20 < usage.memory_total < 128 << 20
        assert 0 < usage.memory_bytes < usage.memory_total
        assert usage.uptime > 0
        assert usage.cpu_seconds > 0
        await guest.set_time(2000000000.5)
        out, _, code = await run(guest, "date", "+%s")
        assert (2000000000 <= int(out) < 2000000100, code) == (True, 0)

    scenario(guests, test)


def test_programs_beside_the_service(guests: Guests) -> None:
    async def test(it: Machine, guest: Guest) -> None:
        assert await run(guest, "sh", "-c", "id -u; echo oops >&2; exit 3") == (b"1000\n", b"oops\n", 3)
        assert await run(guest, "id", "-u", user=None) == (b"0\n", b"", 0)
        assert await run(guest, "sh", "-c", "kill -TERM $$") == (b"", b"", 128 + 15)
        out, errors, code = await run(guest, "nothing")
        assert (out, code) == (b"", 127)
        assert errors == b"cannot run nothing: No such file or directory\n"
        assert (await run(guest, "/etc/passwd"))[2] == 126
        left_behind = await run(guest, "sh", "-c", "sleep 1000 & echo left")
        assert left_behind == (b"left\n", b"", 0)
        many = await asyncio.gather(*(run(guest, "sh", "-c", f"echo {number}") for number in range(20)))
        assert [int(out) for out, _, _ in many] == list(range(20))

    scenario(guests, test)


def test_big_streams_both_ways(guests: Guests) -> None:
    async def test(it: Machine, guest: Guest) -> None:
        big = os.urandom(3 << 20)
        session = await guest.execute(["cat"], ENV, "/", SERVICE, (), False)

        async def feed() -> None:
            await session.write(big)
            await session.close_input()

        _, result = await asyncio.gather(feed(), everything(session))
        assert result == (big, b"", 0)

    scenario(guests, test)


def test_one_who_does_not_read_holds_up_nobody(guests: Guests) -> None:
    async def test(it: Machine, guest: Guest) -> None:
        loud = await guest.execute(["cat", "/dev/zero"], ENV, "/", SERVICE, (), False)
        deaf = await guest.execute(["sleep", "1000"], ENV, "/", SERVICE, (), False)
        filling = asyncio.create_task(deaf.write(bytes(1 << 20)))
        assert await run(guest, "sh", "-c", "echo quick") == (b"quick\n", b"", 0)
        assert not filling.done()
        assert (await guest.usage()).uptime > 0
        await loud.close()
        assert await loud.wait() == 128 + 9
        await deaf.close()
        await filling

    scenario(guests, test)


def test_a_terminal(guests: Guests) -> None:
    async def test(it: Machine, guest: Guest) -> None:
        session = await guest.execute(["sh"], ENV, "/", SERVICE, (), True, (30, 100))
        seen = b""

        async def until_seen(what: bytes) -> None:
            nonlocal seen
            while what not in seen:
                piece = await session.read()
                assert piece and piece[0] == 1
                seen += piece[1]

        await session.write(b"stty size; id -u\n")
        await until_seen(b"30 100\r\n1000\r\n")
        session.resize(40, 120)
        await session.write(b"stty size\n")
        await until_seen(b"40 120")
        await session.write(b"sh -c 'echo at $((1 + 1)); exec cat'\n")
        await until_seen(b"at 2")
        await session.write(b"\x03echo code $?\n")
        await until_seen(b"code 130")
        await session.write(b"exit 4\n")
        assert (await everything(session))[2] == 4

    scenario(guests, test)


def test_a_signal_to_a_session(guests: Guests) -> None:
    async def test(it: Machine, guest: Guest) -> None:
        session = await guest.execute(["sh", "-c", "echo up; exec sleep 1000"], ENV, "/", SERVICE)
        assert await session.read() == (1, b"up\n")
        session.signal("INT")
        assert (await everything(session))[2] == 128 + 2

    scenario(guests, test)


def test_another_client_takes_over(guests: Guests) -> None:
    """The sessions of one that has gone end with it, whatever it has left half said; the service goes on."""

    async def test(it: Machine, guest: Guest) -> None:
        await guest.execute(["sh", "-c", "cat /dev/zero & sleep 1001"], ENV, "/", None)
        await guest.execute(["sh", "-c", "cat /dev/zero"], ENV, "/", None, (), True)
        guest._writer.write(HALF)
        await guest.drain()
        await guest.close()
        later = await Guest.connect(it.control, PATIENCE)
        script = "cat /proc/[0-9]*/cmdline"
        out = b"/dev/zero"
        while b"sleep\x001001" in out or b"/dev/zero" in out:
            out, _, _ = await run(later, "sh", "-c", script, user=None)
        assert b"sleep\x001000" in out
        await later.close()

    scenario(guests, test)


def test_what_is_half_said_is_forgotten(guests: Guests) -> None:
    """Also where the guest has not seen that there was no client: here it is the same one."""
    with guests.clone(shell(WAITING)) as it, socket.socket(socket.AF_UNIX) as sock:
        it.until("started")
        sock.settimeout(PATIENCE)
        sock.connect(str(it.control))
        for before in (b"", HALF, b"\xff" * 40):
            hello = frame(Kind.HELLO, 0, os.urandom(16))
            sock.sendall(before + hello)
            seen = b""
            while hello not in seen:
                seen += sock.recv(4096)


def test_a_program_inherits_nothing(guests: Guests) -> None:
    """Of PID 1's descriptors, and of the devices it has little."""
    script = (
        "ls /proc/self/fd; cat /proc/self/oom_score_adj; ulimit -n; "
        "for each in /dev/vd* /dev/vport* /dev/kmsg /proc/sysrq-trigger; do [ -w $each ] && echo $each; done; exit 0"
    )

    async def test(it: Machine, guest: Guest) -> None:
        out, errors, code = await run(guest, "sh", "-c", script)
        assert (out.split(), errors, code) == ([b"0", b"1", b"2", b"3", b"0", b"65536"], b"", 0)

    scenario(guests, test)
