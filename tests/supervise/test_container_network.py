"""Containers on the bridge, in a network namespace of the test's own."""

from __future__ import annotations

import socket

from fourfold.supervise.network.network import Network
from tests.supervise.containers import boxed, needs_runtime, run, traces
from tests.supervise.rig import Rig, script, until
from tests.supervise.test_connected import BRIDGE, ECHO, connected, links

pytestmark = needs_runtime()


@connected
async def test_it_is_reached_at_its_address_and_leaves_nothing(rig: Rig, network: Network) -> None:
    own = {"bridge": BRIDGE.instance("10.177.0.5")}
    await run(rig, "a.a-1-x", "true", image_fields=own)  # makes the bridge
    await until(lambda: not rig.groups() and links() == ["lo", "fourfold0"], "something was left")
    before, interfaces = traces(rig.paths), links()
    launch = boxed(rig, "a.b-1-x", *script(ECHO), image_fields=own)
    await rig.start(launch, {}, 1)
    await until(lambda: ask("10.177.0.5", 80) == "10.177.0.1", "it does not answer")
    entered = await rig.enter(
        boxed(rig, "a.b-1-x", "cat", "/proc/net/fib_trie", "/etc/hosts", image_fields=own), {}, False
    )
    text = b""
    while chunk := await entered.read():
        text += chunk[1]
    await entered.close()
    assert b"10.177.0.5\tb-1-x" in text and b"/32 host LOCAL" in text
    assert b"10.177.0.1\n" not in text, "it entered the network of the host"
    await rig.kill("a.b-1-x")
    await until(lambda: (traces(rig.paths), links()) == (before, interfaces), "something was left")


def ask(host: str, port: int) -> str:
    try:
        with socket.create_connection((host, port), timeout=20) as connection:
            return connection.recv(100).decode()
    except OSError:
        return ""
