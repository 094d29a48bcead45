"""The bridge of containers, made in networks of the test's own."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from fourfold.errors import UserError, WorldError
from fourfold.spawner import kernel, netlink
from fourfold.spawner.request import Bridge
from fourfold.supervise.network import network
from fourfold.supervise.network.bridge import BridgeNetwork
from fourfold.supervise.network.hostnames import own_addresses
from fourfold.supervise.network.network import FORWARDING, Network
from tests.support.netns import connected, own_network, run
from tests.support.wait import until

STARTS = itertools.count()
USUAL = BridgeNetwork.parse("fourfold0 10.177.0.1/16")
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root may make network namespaces")


@pytest.mark.parametrize("lacks", ["ip", "nft"])
def test_what_is_missing_is_named(lacks: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "program", lambda name: None if name == lacks else f"/usr/sbin/{name}")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    package = {"ip": "iproute2", "nft": "nftables"}[lacks]
    assert network.missing() == f"{lacks} is not installed: apt-get install {package}"
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert network.missing() == "only root can make networks"


def in_network(test: Callable[[Network], Awaitable[None]]) -> Callable[[Path], None]:
    """Run a test in a network namespace of its own, with a Network that has made nothing yet."""

    def wrapped(tmp_path: Path) -> None:
        with own_network():
            asyncio.run(_awaited(test(Network(USUAL, tmp_path / "a home"))))

    wrapped.__name__, wrapped.__doc__ = test.__name__, test.__doc__
    return root_only(wrapped)


async def _awaited(test: Awaitable[None]) -> None:
    await test


def links() -> list[str]:
    return [link["ifname"] for link in json.loads(run("ip", "-j", "link"))]


def tables() -> list[str]:
    return [word for word in run("nft", "list", "tables").split() if word.startswith("fourfold")]


def in_container(number: int, do: Callable[[], Any]) -> Any:
    bridge = Bridge("fourfold0", f"10.177.0.{number}/16", "10.177.0.1")
    return connected(bridge, netlink.port_name(f"{next(STARTS)}"), do)  # a name is free a little after its end


def reaches(host: str, port: int, timeout: float = 30.0) -> str:
    try:
        socket.create_connection((host, port), timeout).close()
    except OSError as error:
        return type(error).__name__
    return "yes"


@in_network
async def test_it_is_made_once_and_removed(own: Network) -> None:
    before = links()
    await own.check()
    assert own.address is None and links() == before
    await own.make()
    assert own.address == "10.177.0.1" and FORWARDING.read_text().strip() == "1"
    (link,) = json.loads(run("ip", "-j", "-d", "address", "show", "dev", "fourfold0"))
    assert (link["mtu"], link["address"], link["linkinfo"]["info_kind"]) == (1500, "02:42:0a:b1:00:01", "bridge")
    assert [each["local"] for each in link["addr_info"]] == ["10.177.0.1"] and "UP" in link["flags"]
    assert tables() == ["fourfold-0"]
    made = run("nft", "list", "ruleset")
    await own.make()
    await own._locked(own._make)
    assert run("nft", "list", "ruleset") == made and links() == [*before, "fourfold0"]
    await own.remove()
    assert links() == before and tables() == [] and own.address is None


@in_network
async def test_what_is_reached_from_a_container(own: Network) -> None:
    """The gateway's internal ports on the bridge's address, and no other port of this host at none of its addresses."""
    run("ip", "address", "add", "192.0.2.9/24", "dev", "lo")
    await own.allow([19000])
    await own.make()
    with closing(socket.create_server(("0.0.0.0", 19000))), closing(socket.create_server(("0.0.0.0", 22022))):
        assert in_container(5, lambda: reaches("10.177.0.1", 19000)) == "yes"
        for host, port in (("10.177.0.1", 22022), ("192.0.2.9", 19000), ("192.0.2.9", 22022)):
            assert in_container(5, partial(reaches, host, port)) == "ConnectionRefusedError"
        await own.allow([22022])
        assert in_container(5, lambda: reaches("10.177.0.1", 19000)) == "ConnectionRefusedError"
        assert in_container(5, lambda: reaches("10.177.0.1", 22022)) == "yes"
        await own.allow([])
        assert in_container(5, lambda: reaches("10.177.0.1", 22022)) == "ConnectionRefusedError"
    until(lambda: not any(name.startswith("ff") for name in links()))


@in_network
async def test_nothing_goes_from_one_to_another_by_way_of_this_host(own: Network) -> None:
    await own.make()
    with closing(socket.create_server(("10.177.0.1", 19000))) as host:
        await own.allow([19000])

        def serve() -> str:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
                server.bind(("0.0.0.0", 80))
                socket.create_connection(("10.177.0.1", 19000)).recv(1)  # until the other one has tried
                server.settimeout(0)
                try:
                    return str(server.recvfrom(10)[1][0])
                except BlockingIOError:
                    return "nobody"

        def ask() -> str:
            run("ip", "route", "add", "10.177.0.6/32", "via", "10.177.0.1", "dev", "eth0")
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.sendto(b"hello", ("10.177.0.6", 80))
            return reaches("10.177.0.1", 19000)  # what was sent before has arrived by now

        if (pid := os.fork()) == 0:
            os._exit(0 if in_container(6, serve) == "nobody" else 1)
        next(STARTS)  # its name is the child's
        connection, _ = host.accept()
        assert in_container(5, ask) == "yes"
        connection.close()
        assert (await asyncio.to_thread(os.waitpid, pid, 0))[1] == 0


@in_network
async def test_the_way_out_is_hidden_behind_this_host(own: Network) -> None:
    await own.make()
    look_outside("ConnectionRefusedError")


@in_network
async def test_the_way_out_beside_docker(own: Network) -> None:
    """It drops what is forwarded, from when it starts; and its own chains are as before once we are gone."""
    await own.make()
    for rule in ("-N DOCKER-USER", "-P FORWARD DROP", "-A FORWARD -j DOCKER-USER", "-A DOCKER-USER -j RETURN"):
        run("iptables", *rule.split())
    before = run("iptables", "-S")
    own._mend()
    own._mend()
    answers = "-A DOCKER-USER -o fourfold0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
    assert {*run("iptables", "-S").splitlines()} - {*before.splitlines()} == {answers}

    def has_way_out() -> None:
        run("ip", "route", "add", "default", "via", "192.0.2.2")
        own._mend()
        own._mend()
        ways = {answers, "-A DOCKER-USER -i fourfold0 -o out0 -j ACCEPT"}
        assert {*run("iptables", "-S").splitlines()} - {*before.splitlines()} == ways
        assert len(run("iptables", "-S").splitlines()) == len(before.splitlines()) + 2

    look_outside("TimeoutError", has_way_out)
    await own.remove()
    assert run("iptables", "-S") == before


@in_network
async def test_what_the_host_publishes_is_not_reached(own: Network) -> None:
    """By whatever forwards it: Docker's published ports lead to 172.17.0.2, say."""
    await own.make()
    make_lan()
    rule = "tcp dport 8080 dnat to 192.0.2.2:80"
    run("nft", f"table ip p {{ chain c {{ type nat hook prerouting priority dstnat; {rule}; }}; }}")
    assert in_container(5, lambda: reaches("10.177.0.1", 8080)) == "ConnectionRefusedError"


@in_network
async def test_the_bridges_address_is_reached_from_the_bridge_alone(own: Network) -> None:
    await own.allow([19000])
    await own.make()
    make_lan()
    lan = Bridge("lan", "192.0.2.5/24", "192.0.2.1")
    with closing(socket.create_server(("0.0.0.0", 19000))):
        assert reaches("10.177.0.1", 19000) == "yes"
        assert in_container(5, lambda: reaches("10.177.0.1", 19000)) == "yes"
        for host, expected in (("192.0.2.1", "yes"), ("10.177.0.1", "ConnectionRefusedError")):
            seen = connected(lan, netlink.port_name(f"{next(STARTS)}"), partial(reaches, host, 19000))
            assert seen == expected


def make_lan() -> None:
    run("ip", "link", "add", "lan", "type", "bridge")
    run("ip", "address", "add", "192.0.2.1/24", "dev", "lan")
    run("ip", "link", "set", "lan", "up")


def look_outside(refused: str, when_there: Callable[[], None] = lambda: None) -> None:
    """A machine outside sees this host's address, can answer, and cannot begin."""
    run("ip", "link", "add", "out0", "type", "veth", "peer", "name", "out1")
    run("ip", "address", "add", "192.0.2.1/24", "dev", "out0")
    run("ip", "link", "set", "out0", "up")
    ready_read, ready = os.pipe()
    if (outside := os.fork()) == 0:
        try:
            kernel.unshare(kernel.CLONE_NEWNET)
            os.write(ready, b"namespace")
            until(lambda: "out1" in links())
            run("ip", "address", "add", "192.0.2.2/24", "dev", "out1")
            run("ip", "link", "set", "out1", "up")
            run("ip", "route", "add", "10.177.0.0/16", "via", "192.0.2.1")
            with socket.create_server(("192.0.2.2", 80)) as server:
                os.write(ready, b"listens")
                server.settimeout(60)
                connection, (peer, _) = server.accept()
                begun = reaches("10.177.0.6", 80, 3 if refused == "TimeoutError" else 30)
                connection.sendall(f"{peer} {begun}".encode())
            os._exit(0)
        finally:
            os._exit(1)
    assert os.read(ready_read, 9) == b"namespace"
    run("ip", "link", "set", "out1", "netns", str(outside))
    assert os.read(ready_read, 9) == b"listens"
    when_there()

    def ask() -> str:
        with socket.create_server(("0.0.0.0", 80)), socket.create_connection(("192.0.2.2", 80), timeout=60) as there:
            return there.recv(100).decode()

    assert in_container(6, ask) == f"192.0.2.1 {refused}"
    assert os.waitpid(outside, 0)[1] == 0


@in_network
async def test_a_later_daemon_finds_it(own: Network) -> None:
    await own.adopt()
    assert own.address is None
    await own.make()
    await own.allow([19000])
    later = Network(USUAL, Path(unquote(own._owner).removeprefix("fourfold:")))
    await later.adopt()
    assert later.address == "10.177.0.1"
    await later.allow([])
    assert "19000" not in run("nft", "list", "ruleset")
    await later.make()
    await later.remove()
    assert links() == ["lo"]


@in_network
async def test_a_home_that_is_gone_has_no_bridge(own: Network) -> None:
    await own.make()
    other = Network(USUAL, Path("/other"))
    await other.make()
    (link,) = json.loads(run("ip", "-j", "link", "show", "dev", "fourfold0"))
    assert link["ifalias"] == "fourfold:/other" and tables() == ["fourfold-0"]


@in_network
async def test_a_later_daemon_brings_its_own_rules(own: Network) -> None:
    await own.make()
    made = run("nft", "list", "ruleset")
    for lost in ("delete table inet fourfold-0", "flush chain inet fourfold-0 input"):
        run("nft", *lost.split())
        later = Network(USUAL, Path(unquote(own._owner).removeprefix("fourfold:")))
        await later.adopt()
        await later.allow([])
        assert run("nft", "list", "ruleset") == made


@in_network
async def test_rules_are_there_before_the_bridge(own: Network) -> None:
    load = own._nft

    def checked(script: str) -> None:
        assert "fourfold0" not in links()
        load(script)

    own._nft = checked  # type: ignore[method-assign]
    await own.make()
    assert "fourfold0" in links() and tables() == ["fourfold-0"]


@in_network
async def test_a_bridge_that_another_daemon_has_by_now_is_not_removed(own: Network) -> None:
    await own.make()
    other = Network(USUAL, Path("/other"))
    await other.make()
    await own.remove()
    assert "fourfold0" in links() and tables() == ["fourfold-0"] and own.address is None
    await other.remove()
    assert links() == ["lo"] and tables() == []


@in_network
async def test_one_thing_at_a_time_also_when_cancelled(own: Network) -> None:
    seen: list[str] = []
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        begun.set()
        go_on.wait(60)
        seen.append("done")

    task = asyncio.create_task(own._locked(slow))
    await asyncio.to_thread(begun.wait, 60)
    task.cancel()
    later = asyncio.create_task(own._locked(lambda: seen.append("next")))
    for _ in range(10):
        await asyncio.sleep(0)
    assert seen == []
    go_on.set()
    await later
    assert seen == ["done", "next"]


@in_network
async def test_another_home_is_refused(own: Network) -> None:
    own._owner = "fourfold:/usr"
    await own.make()
    other = Network(USUAL, Path("/other"))
    await other.adopt()
    assert other.address is None
    with pytest.raises(UserError, match="cannot make the bridge fourfold0: the daemon of /usr has it"):
        await other.make()
    beside = Network(BridgeNetwork.parse("fourfold1 10.178.0.1/16"), Path("/other"))
    await beside.make()
    assert tables() == ["fourfold-0", "fourfold-1"]
    within = Network(BridgeNetwork.parse("fourfold2 10.177.8.1/24"), Path("/third"))
    for refused in (within.check, within.make):
        with pytest.raises(UserError, match=r"10.177.0.0/16 \(fourfold0\) is there already"):
            await refused()


@in_network
async def test_another_home_with_a_long_path_is_refused(own: Network) -> None:
    """Its path does not fit onto the bridge whole."""
    home = Path("/" + "/".join(["x" * 200] * 2))
    await Network(USUAL, home).make()
    with pytest.raises(UserError, match=r"cannot make the bridge fourfold0: the daemon of x+/x+ has it"):
        await own.make()


@in_network
async def test_addresses_of_this_host(own: Network) -> None:
    make_lan()
    assert {"127.0.0.1", "192.0.2.1"} == own_addresses(run("cat", "/proc/self/net/fib_trie"))


@in_network
async def test_a_bridge_that_is_not_fourfolds_is_left_alone(own: Network) -> None:
    run("ip", "link", "add", "fourfold0", "type", "bridge")
    with pytest.raises(UserError, match="it is there, and not Fourfold's"):
        await own.make()
    assert links() == ["lo", "fourfold0"] and tables() == []


@in_network
async def test_another_network_is_taken_once_nothing_is_on_the_old_one(own: Network) -> None:
    await own.make()
    changed = Network(BridgeNetwork.parse("fourfold0 10.99.0.1/24"), Path("/"))
    changed._owner = own._owner

    run("ip", "link", "add", "port", "type", "veth", "peer", "name", "other")
    run("ip", "link", "set", "port", "master", "fourfold0")
    with pytest.raises(UserError, match="containers are on it"):
        await changed.make()
    run("ip", "link", "delete", "port")
    await changed.make()
    (link,) = json.loads(run("ip", "-j", "-4", "address", "show", "dev", "fourfold0"))
    assert [each["local"] for each in link["addr_info"]] == ["10.99.0.1"]


@in_network
async def test_what_another_program_removes_is_made_again(own: Network) -> None:
    await own.allow([19000])
    await own.make()
    run("nft", "flush", "ruleset")
    FORWARDING.write_text("0")
    own._mend()
    assert tables() == ["fourfold-0"] and "19000" in run("nft", "list", "set", "inet", "fourfold-0", "ports")
    assert FORWARDING.read_text().strip() == "1"
    run("ip", "link", "delete", "fourfold0")
    await own.make()
    assert "fourfold0" in links()


@in_network
async def test_who_was_on_it_is_again(own: Network) -> None:
    """Also a machine; nothing that is of another bridge, and still none of them reaches another."""
    said: list[str] = []
    own.on_mended = said.append
    await own.make()
    tap = netlink.tap(Bridge("fourfold0", "10.177.0.9/16", "10.177.0.1"), "ff-machine")
    run("ip", "link", "add", "other", "type", "bridge")
    run("ip", "link", "set", "dev", "other", "alias", "fourfold1 10.178.0.2/16")
    mine, other = socket.socketpair()

    def ask() -> None:
        while other.recv(1) == b"?":
            other.sendall(reaches("10.177.0.1", 19000).encode())

    await own.allow([19000])
    if (pid := os.fork()) == 0:
        mine.close()
        in_container(5, ask)
        os._exit(0)
    other.close()
    with closing(socket.create_server(("10.177.0.1", 19000))):
        for breaking in ("link delete", "address flush", "link set down"):
            mine.sendall(b"?")
            assert mine.recv(9) == b"yes"
            run("ip", *breaking.split(), "dev", "fourfold0")
            await own._locked(own._mend)
            own._tell()
            ports = json.loads(run("bridge", "-j", "-d", "link", "show"))
            kept = {each["ifname"]: (each["master"], each["isolated"], each["learning"]) for each in ports}
            assert len(kept) == 2 and set(kept.values()) == {("fourfold0", True, False)} and "ff-machine" in kept
        mine.sendall(b"?")
        assert mine.recv(9) == b"yes"
    mine.close()
    assert (await asyncio.to_thread(os.waitpid, pid, 0))[1] == 0
    os.close(tap)
    assert len(said) == 3 and all(each.endswith("2 instances on it") for each in said)


@in_network
async def test_what_was_not_let_through_is_tried_again(own: Network) -> None:
    await own.make()
    load = own._nft
    own._nft = lambda script: load("nonsense")  # type: ignore[method-assign]
    for _ in range(2):
        with pytest.raises(WorldError, match="cannot set up the network of containers: nft -f: "):
            await own.allow([19000])
    own._nft = load  # type: ignore[method-assign]
    await own.allow([19000])
    await own.allow([19000, 19001])
    assert "{ 19000, 19001 }" in run("nft", "list", "set", "inet", "fourfold-0", "ports")


@in_network
async def test_what_the_system_refuses_is_said(own: Network) -> None:
    own.network = BridgeNetwork.parse("lo 10.5.0.1/16")
    own._refuse_others = lambda link: None  # type: ignore[method-assign]
    own._addresses = list  # type: ignore[method-assign]
    with pytest.raises(WorldError, match="cannot set up the network of containers: ip link: "):
        await own.make()


@root_only
def test_as_large_as_the_way_out(tmp_path: Path) -> None:
    async def test() -> None:
        run("ip", "link", "add", "up0", "mtu", "1400", "type", "bridge")
        run("ip", "address", "add", "192.0.2.1/24", "dev", "up0")
        run("ip", "link", "set", "up0", "up")
        run("ip", "route", "add", "default", "via", "192.0.2.2")
        await Network(USUAL, tmp_path).make()
        assert json.loads(run("ip", "-j", "link", "show", "dev", "fourfold0"))[0]["mtu"] == 1400

    with own_network():
        asyncio.run(test())


@pytest.fixture(autouse=True)
def nothing_is_left_here() -> Iterator[None]:
    before = {*links()}
    yield
    assert {*links()} <= before  # what another test has left there may go meanwhile
