"""Machines that go on as another: from the wait for a configuration, and with a service that is there already."""

from __future__ import annotations

import asyncio

from fourfold.supervise.machines.guest import Guest
from tests.guest.machine import PATIENCE, Guests, Machine, shell
from tests.support.wait import until

WHO = "hostname; ip -o addr show dev eth0; ip link show dev eth0; date +%s; head -c 8 /dev/urandom | cat -v; echo"


def configured(number: int, script: str) -> list[tuple[str, str]]:
    return shell(
        script,
        ("hostname", f"clone-{number}"),
        ("mac", f"02:42:0a:b1:00:{number:02x}"),
        ("address", f"10.177.0.{number}/16"),
        ("gateway", "10.177.0.1"),
        ("time", f"{1000000000 + number * 1000}.5"),
        ("seed", f"{number:02x}" * 64),
    )


def seen(output: str, number: int) -> None:
    lines = output.splitlines()
    assert f"clone-{number}" in lines
    assert f"inet 10.177.0.{number}/16" in output
    assert f"02:42:0a:b1:00:{number:02x}" in output
    assert any(line.startswith(f"100000{number}") for line in lines), "the clock of another"


def test_it_waits_for_its_configuration(guests: Guests) -> None:
    random = set()
    for number in (5, 6):
        with guests.clone(configured(number, WHO)) as it:
            assert it.ended() == ["started", "ended exit 0"]
            seen(it.output, number)
            random.add(it.output.splitlines()[-1])
    assert len(random) == 2


def test_a_ready_service_becomes_another(guests: Guests) -> None:
    script = f"trap '{WHO}; exit 3' TERM; echo ready; while :; do sleep 1000 & wait $!; done"
    with guests.made(configured(4, script)) as it:
        it.start(template=True)
        it.until("started")
        until(lambda: "ready" in it.output, PATIENCE)

        async def freeze() -> None:
            guest = await Guest.connect(it.control, PATIENCE)
            await guest.freeze()
            await guest.close()

        asyncio.run(freeze())
        it.save()
        for number in (5, 6):
            it.configure(configured(number, script))
            it.go_on(it.folder)
            it.until("started")
            it.command({"execute": "system_powerdown"})
            assert it.ended() == ["started", "ended exit 3"]
            seen(it.output, number)


def test_what_it_is_to_read_is_in_the_memory_of_all_that_go_on(guests: Guests) -> None:
    told = [
        ("wait", "1"),
        ("read", "0:1:/bin/tail"),
        ("read", "1:2:/bin/stty"),
        ("read", "0:9:/no/such"),
        ("read", "x"),
    ]
    with guests.template(told) as it, guests.made(shell("sleep 1000")) as other:
        other.go_on(it.folder)
        other.until("started")
        read = asyncio.run(reads(other))
    with guests.clone(shell("dd if=/dev/null of=/tmp/big bs=1 seek=1T; echo ready; sleep 1000")) as other:
        until(lambda: "ready" in other.output, PATIENCE)
        not_read = asyncio.run(reads(other))
    for path, pages in (("/bin/tail", {0}), ("/bin/stty", {1, 2})):
        assert pages <= read[path] and path not in not_read
    assert read["/bin/sh"] and not_read["/bin/sh"], "the service"


async def reads(it: Machine) -> dict[str, set[int]]:
    """File -> its pages that are in the machine's memory."""
    guest = await Guest.connect(it.control, PATIENCE)
    session = await guest.execute(["/proc/self/exe", "reads"], {}, "/", None)
    out = b""
    while (item := await session.read()) is not None:
        assert item[0] == 1, item
        out += item[1]
    assert await session.wait() == 0
    await guest.close()
    found: dict[str, set[int]] = {}
    for entry in out.decode().split("\0")[:-1]:
        first, count, path = entry.removeprefix("read=").split(":", 2)
        found.setdefault(path, set()).update(range(int(first), int(first) + int(count)))
    return found


def test_thawed_as_it_is(guests: Guests) -> None:
    with guests.clone(shell("while :; do echo .; done >/dev/null")) as it:
        it.until("started")

        async def test() -> None:
            guest = await Guest.connect(it.control, PATIENCE)
            await guest.freeze()
            before = (await guest.usage()).cpu_seconds
            assert (await guest.usage()).cpu_seconds == before
            await guest.thaw()
            while (await guest.usage()).cpu_seconds == before:
                pass
            await guest.close()

        asyncio.run(test())
        assert it.report == ["started"]
