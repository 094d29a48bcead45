"""A real HAProxy and a real bridge: containers call services at its address, and nobody else does."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from fourfold.gateway.model import Backend, GatewayConfig, Server
from fourfold.launch.names import service_address
from fourfold.spawner.request import Bridge
from fourfold.supervise.network.bridge import BridgeNetwork
from fourfold.supervise.network.network import Network
from tests.gateway.rig import Rig, with_rig
from tests.support.netns import connected, own_network

BRIDGE = BridgeNetwork.parse("fourfold0 10.177.0.1/16")

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may make network namespaces")


def in_own_network(test: Callable[[Rig], Awaitable[None]]) -> Callable[[], None]:
    run = with_rig(test)

    def wrapped() -> None:
        with own_network():
            run()

    wrapped.__name__, wrapped.__doc__ = test.__name__, test.__doc__
    return wrapped


async def called(port: int, number: int, address: str = BRIDGE.gateway) -> str:
    """What a container gets from a port of the bridge's address: the whole answer, or nothing."""

    def ask() -> str:
        with suppress(OSError), socket.create_connection((address, port), timeout=5) as there:
            there.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return b"".join(iter(lambda: there.recv(65536), b"")).decode()
        return ""

    instance = BRIDGE.instance(f"10.177.0.{number}")
    bridge = Bridge(instance.name, instance.address, instance.gateway)
    return str(await asyncio.to_thread(connected, bridge, f"ff{number}", ask))


@in_own_network
async def test_containers_call_services_and_are_known_by_their_address(rig: Rig) -> None:
    web = await rig.program()
    network = Network(BRIDGE, Path("/"))
    await network.make()
    await network.allow([rig.internal])
    await rig.start(replace(rig.config([web.server]), bridge=network.address))
    answer = await called(rig.internal, 5)
    assert answer.startswith("HTTP/1.1 200") and '"x-forwarded-for": "10.177.0.5"' in answer
    assert await called(rig.port, 6) == "", "the gateway's public address is not theirs"
    by_name = service_address(rig.internal)
    assert await called(80, 8, by_name) == ""
    await network.allow([rig.internal], {(by_name, 80): rig.internal})
    assert '"x-forwarded-for": "10.177.0.9"' in await called(80, 9, by_name)
    assert await called(81, 10, by_name) == "", "at its own port alone"
    await network.allow([])
    assert await called(rig.internal, 7) == "" and await called(80, 11, by_name) == ""


@in_own_network
async def test_what_speaks_tcp_is_passed_on_as_it_is(rig: Rig) -> None:
    """A server that speaks first, as MySQL does, and a client that stays; also while instances come and go."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello\n")
        while line := await reader.readline():
            writer.write(line.upper())

    servers = [await asyncio.start_server(greet, "127.0.0.1", 0) for _ in range(2)]
    found = [
        Server(f"shop.db-1-{name}", "127.0.0.1", server.sockets[0].getsockname()[1])
        for name, server in zip("ab", servers, strict=True)
    ]

    def config(*behind: Server) -> GatewayConfig:
        return GatewayConfig(backends=(Backend("shop.db", behind, rig.internal, tcp=True),))

    await rig.start(config(found[0]))
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.internal)
    assert await reader.readline() == b"hello\n"
    await rig.gateway.apply(config(*found))
    await rig.gateway.apply(config(replace(found[0], draining=True), found[1]))
    writer.write(b"still there\n")
    assert await reader.readline() == b"STILL THERE\n"
    writer.close()
    await rig.gateway.keep_stats()
    again, other = await asyncio.open_connection("127.0.0.1", rig.internal)
    assert await again.readline() == b"hello\n"
    other.close()
    for server in servers:
        server.close()


@in_own_network
async def test_it_starts_before_the_bridge_is_there(rig: Rig) -> None:
    """As after a reboot, with the configuration from before."""
    web = await rig.program()
    network = Network(BRIDGE, Path("/"))
    await network.allow([rig.internal])
    await network.make()
    await rig.start(replace(rig.config([web.server]), bridge=network.address))
    rig.kill()
    await network.remove()
    await rig.launch()
    await network.make()
    assert (await called(rig.internal, 5)).startswith("HTTP/1.1 200")
