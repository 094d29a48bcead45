"""Instances with networks of their own, under a real spawner: reached, entered, adopted, and gone without a trace."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from fourfold.errors import WorldError
from fourfold.supervise.network.bridge import BridgeNetwork
from fourfold.supervise.network.network import Network
from tests.supervise.rig import PYTHON, Rig, end, home, needs, until
from tests.support.netns import own_network, run

BRIDGE = BridgeNetwork.parse("fourfold0 10.177.0.1/16")
ECHO = """
import socket, sys
with socket.create_server(("0.0.0.0", 80)) as server:
    while True:
        connection, peer = server.accept()
        connection.sendall(peer[0].encode())
        connection.close()
"""

pytestmark = needs("network")


def connected(test: Callable[[Rig, Network], Awaitable[Rig | None]]) -> Callable[[], None]:
    """In a network namespace of its own; `test` gives the rig that is open in the end, if that is another."""

    def wrapped() -> None:
        async def go() -> None:
            with home() as paths:
                network = Network(BRIDGE, paths.state)
                rig = Rig(paths, network=network)
                await rig.open()
                try:
                    rig = await test(rig, network) or rig
                    for name in rig.running():
                        await rig.kill(name)
                    await until(lambda: not rig.running(), "something runs on")
                except BaseException:
                    await end(rig)
                    raise
                await rig.close()
                # The kernel removes an interface some time after the last process of its namespace.
                await until(lambda: links() == ["lo"], "nothing runs, but not all interfaces are gone")

        with own_network():
            asyncio.run(go())

    wrapped.__name__, wrapped.__doc__ = test.__name__, test.__doc__
    return wrapped


def links() -> list[str]:
    return [link["ifname"] for link in json.loads(run("ip", "-j", "link"))]


def veths() -> list[str]:
    return [name for name in links() if name.startswith("ff")]


async def echo(rig: Rig, number: int, **fields: Any) -> int:
    """An instance `shop.web-1-NUMBER` that answers at 10.177.0.NUMBER, once it does."""
    network = BRIDGE.instance(f"10.177.0.{number}")
    launch = rig.launch(f"shop.web-1-{number}", PYTHON, "-c", ECHO, network=network, **fields)
    pid = (await rig.start(launch, {}, 1)).pid
    await until(lambda: asked(f"10.177.0.{number}"), "it does not answer")
    return pid


def asked(host: str) -> str:
    try:
        with socket.create_connection((host, 80), timeout=20) as connection:
            return connection.recv(100).decode()
    except OSError:
        return ""


def network_of(pid: int) -> str:
    return str(Path(f"/proc/{pid}/ns/net").readlink())


@connected
async def test_two_are_reached_and_leave_nothing(rig: Rig, network: Network) -> None:
    pids = [await echo(rig, 5), await echo(rig, 6)]
    assert asked("10.177.0.5") == asked("10.177.0.6") == "10.177.0.1"
    assert len({network_of(pid) for pid in (*pids, os.getpid())}) == 3
    assert len(veths()) == 2
    await rig.kill("shop.web-1-5")
    await rig.exit_of("shop.web-1-5")
    await until(lambda: len(veths()) == 1, "its interface is left")
    os.kill(pids[1], signal.SIGKILL)
    await rig.exit_of("shop.web-1-6")
    await until(lambda: not veths(), "its interface is left")


@connected
async def test_it_is_entered(rig: Rig, network: Network) -> None:
    await echo(rig, 5)
    code = "import socket; print(socket.create_connection(('127.0.0.1', 80)).recv(100).decode())"
    attached = await rig.enter(rig.launch("shop.web-1-5", PYTHON, "-c", code), {}, tty=False)
    piece = await attached.read()
    assert piece is not None and piece[1] == b"127.0.0.1\n"
    assert await attached.wait() == 0
    await attached.close()


@connected
async def test_it_outlives_the_daemon_and_the_spawner(rig: Rig, network: Network) -> Rig:
    pid = await echo(rig, 5)
    await rig.kill_spawner()
    assert asked("10.177.0.5") and rig.running()["shop.web-1-5"].pid == pid
    later = Network(BRIDGE, rig.paths.state)
    successor = Rig(rig.paths, network=later)
    await rig.close()
    assert "fourfold0" in links(), "something is on it"
    await successor.open()
    assert later.address == "10.177.0.1" and asked("10.177.0.5")
    attached = await successor.enter(successor.launch("shop.web-1-5", "cat", "/proc/net/dev"), {}, tty=False)
    piece = await attached.read()
    assert piece is not None and b"eth0" in piece[1]
    await attached.close()
    return successor


@connected
async def test_one_that_cannot_be_connected_leaves_nothing(rig: Rig, network: Network) -> None:
    await network.make()
    launch = rig.launch("shop.web-1-5", "true", network=BridgeNetwork.parse("other0 10.9.0.1/16").instance("10.9.0.2"))
    with pytest.raises(WorldError, match="cannot connect it to the bridge other0: No such device"):
        await rig.start(launch, {}, 1)
    launch = rig.launch("shop.web-1-5", "/nonexistent", network=BRIDGE.instance("10.177.0.5"))
    with pytest.raises(Exception, match="no such command"):
        await rig.start(launch, {}, 1)
    await until(lambda: not veths(), "its interface is left")
    await until(lambda: not rig.groups(), "its groups are left")


@connected
async def test_many_at_once(rig: Rig, network: Network) -> None:
    """The bridge is made once, by whoever comes first."""
    await asyncio.gather(*(echo(rig, number) for number in range(10, 30)))
    assert len(veths()) == 20
    for number in range(10, 30):
        await rig.kill(f"shop.web-1-{number}")
    await until(lambda: not rig.running() and not veths(), "interfaces are left")
