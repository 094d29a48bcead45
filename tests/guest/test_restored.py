"""Machines that go on as another: from the wait for a configuration, and with a service that is there already."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from fourfold.supervise.guest import Guest
from tests.guest.machine import PATIENCE, Machine, machine, made, needs_guests, shell
from tests.support.wait import until

pytestmark = needs_guests
MEMORY = 128


def shared(folder: Path, private: bool) -> list[str]:
    share = "off" if private else "on"
    memory = f"memory-backend-file,id=ram,size={MEMORY}M,mem-path={folder / 'ram'},share={share}"
    return ["-object", memory, "-machine", "memory-backend=ram"]


def save(it: Machine) -> None:
    """To `ram` and `state` in its folder; it is gone then."""
    ignore: dict[str, Any] = {
        "execute": "migrate-set-capabilities",
        "arguments": {"capabilities": [{"capability": "x-ignore-shared", "state": True}]},
    }
    it.command(ignore, {"execute": "migrate", "arguments": {"uri": f"exec:cat >{it.folder / 'state'}"}})
    until(lambda: it.query("query-migrate")["status"] == "completed", PATIENCE)
    it.command({"execute": "quit"})
    it.ended()


def go_on(it: Machine) -> None:
    """As the machine that was saved, with the disks that are there now."""
    (it.folder / "report").write_bytes(b"")
    (it.folder / "output").write_bytes(b"")
    it.start(*shared(it.folder, True), "-incoming", "defer", memory=MEMORY)
    until(lambda: (it.folder / "qmp").exists(), PATIENCE)
    ignore: dict[str, Any] = {
        "execute": "migrate-set-capabilities",
        "arguments": {"capabilities": [{"capability": "x-ignore-shared", "state": True}]},
    }
    it.command(ignore, {"execute": "migrate-incoming", "arguments": {"uri": f"exec:cat {it.folder / 'state'}"}})


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


def test_it_waits_for_its_configuration() -> None:
    with made(None) as it:
        it.start(*shared(it.folder, False), memory=MEMORY)
        it.until("waiting")
        save(it)
        random = set()
        for number in (5, 6):
            it.configure(configured(number, WHO))
            go_on(it)
            assert it.ended() == ["started", "ended exit 0"]
            seen(it.output, number)
            random.add(it.output.splitlines()[-1])
        assert len(random) == 2


def test_a_ready_service_becomes_another() -> None:
    script = f"echo ready; trap '{WHO}; exit 3' TERM; while :; do sleep 1000 & wait $!; done"
    with made(configured(4, script)) as it:
        it.start(*shared(it.folder, False), memory=MEMORY)
        it.until("started")
        until(lambda: "ready" in it.output, PATIENCE)

        async def freeze() -> None:
            guest = await Guest.connect(it.control, PATIENCE)
            await guest.freeze()
            await guest.close()

        asyncio.run(freeze())
        save(it)
        for number in (5, 6):
            it.configure(configured(number, script))
            go_on(it)
            it.until("started")
            it.command({"execute": "system_powerdown"})
            assert it.ended() == ["started", "ended exit 3"]
            seen(it.output, number)


def test_thawed_as_it_is() -> None:
    with machine(shell("while :; do echo .; done >/dev/null")) as it:
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
        assert it.report == ["booted", "started"]
