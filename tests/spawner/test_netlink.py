"""Programs in networks of their own on a bridge, with real namespaces."""

from __future__ import annotations

import errno
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from fourfold.spawner import netlink
from fourfold.spawner.request import Bridge
from tests.support.netns import connected, own_network, run
from tests.support.wait import until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may make network namespaces")


@pytest.fixture(autouse=True)
def bridge() -> Iterator[None]:
    with own_network():
        run("ip", "link", "add", "br9", "mtu", "1400", "type", "bridge")
        run("ip", "address", "add", "10.9.0.1/16", "dev", "br9")
        run("ip", "link", "set", "br9", "up")
        yield


def interfaces() -> list[str]:
    return [link["ifname"] for link in json.loads(run("ip", "-j", "link"))]


def inside(number: int, do: Callable[[], Any], bridge: Bridge | None = None) -> Any:
    return connected(bridge or Bridge("br9", f"10.9.0.{number}/16", "10.9.0.1"), f"ff{number}", do)


def test_it_has_an_address_a_route_and_a_loopback() -> None:
    def look() -> Any:
        return [json.loads(run("ip", "-j", *what)) for what in (("address",), ("route",))]

    links, routes = inside(2, look)
    assert [(link["ifname"], link["mtu"], "UP" in link["flags"]) for link in links] == [
        ("lo", 65536, True),
        ("eth0", 1400, True),
    ]
    assert links[1]["address"] == "02:42:0a:09:00:02"
    addresses = [each for link in links for each in link["addr_info"] if each["family"] == "inet"]
    assert [(each["local"], each["prefixlen"], each["scope"]) for each in addresses] == [
        ("127.0.0.1", 8, "host"),
        ("10.9.0.2", 16, "global"),
    ]
    assert addresses[1]["broadcast"] == "10.9.255.255"
    assert ("default", "10.9.0.1", "eth0") in [(each["dst"], each.get("gateway"), each["dev"]) for each in routes]


def test_it_reaches_the_host_and_no_other_on_the_bridge() -> None:
    with socket.create_server(("10.9.0.1", 5000)) as host:

        def serve() -> str:
            with socket.create_server(("0.0.0.0", 80)) as server:
                connection = socket.create_connection(("10.9.0.1", 5000))
                connection.sendall(b"ready")
                connection.recv(1)  # until the other one has tried
                server.settimeout(0)
                try:
                    return str(server.accept()[1][0])
                except BlockingIOError:
                    return "nobody"

        def ask() -> list[str]:
            """At its address, and by way of a neighbour that is told to be there."""
            run("ip", "neigh", "replace", "10.9.0.2", "lladdr", "02:42:0a:09:00:02", "dev", "eth0", "nud", "permanent")
            return [reached("10.9.0.2", 80, 1), reached("10.9.0.1", 5000)]

        pid = os.fork()
        if pid == 0:
            os._exit(0 if inside(2, serve) == "nobody" else 1)
        host.settimeout(60)
        connection, peer = host.accept()
        assert (peer[0], connection.recv(10)) == ("10.9.0.2", b"ready")
        assert inside(3, ask) == ["TimeoutError", "yes"]
        connection.close()
        assert os.waitpid(pid, 0)[1] == 0


def reached(host: str, port: int, timeout: float = 30.0) -> str:
    try:
        socket.create_connection((host, port), timeout).close()
    except OSError as error:
        return type(error).__name__
    return "yes"


def test_a_tap_is_an_isolated_port_that_goes_with_its_descriptor() -> None:
    before = interfaces()
    fd = netlink.tap(Bridge("br9", "10.9.0.4/16", "10.9.0.1"), "ff4")
    (port,) = (each for each in json.loads(run("ip", "-j", "-d", "link")) if each["ifname"] == "ff4")
    assert (port["master"], port["mtu"], "UP" in port["flags"]) == ("br9", 1400, True)
    assert port["linkinfo"]["info_slave_data"]["isolated"] is True and port["linkinfo"]["info_data"]["vnet_hdr"]
    os.close(fd)
    until(lambda: interfaces() == before)


def test_a_guest_at_a_tap_reaches_no_container_and_the_other_way_round() -> None:
    """Frames that it sends by itself, whatever it thinks of addresses."""
    fd = netlink.tap(Bridge("br9", "10.9.0.4/16", "10.9.0.1"), "ff4")
    source, everybody = bytes.fromhex("02420a090004"), b"\xff" * 6
    frame = everybody + source + b"\x88\xb5" + b"from a guest".ljust(46, b"\0")  # of a local experiment's type

    def listen() -> list[str]:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(0x88B5)) as ears:
            ears.bind(("eth0", 0x88B5))
            ears.settimeout(0.3)
            os.write(fd, b"\0" * 10 + frame)
            try:
                return [ears.recv(100).hex()]
            except TimeoutError:
                ears.send(everybody + bytes.fromhex("02420a090005") + b"\x88\xb5" + b"back".ljust(46, b"\0"))
                return []

    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(0x88B5)) as host:
        host.bind(("br9", 0x88B5))
        host.settimeout(60)
        assert inside(5, listen) == []
        assert {host.recv(100)[14:18], host.recv(100)[14:18]} == {b"from", b"back"}, "both were on their way"
    received = []
    with suppress(BlockingIOError):
        while True:
            received.append(os.read(fd, 2000)[10:])
    assert not any(b"back" in each for each in received)
    os.close(fd)


def test_a_guest_that_says_to_be_another_gets_nothing_of_what_is_the_others() -> None:
    """Neither by ARP nor by sending under its hardware address."""
    guest = netlink.tap(Bridge("br9", "10.9.0.4/16", "10.9.0.1"), "ff4")
    own, other = netlink.hardware_address("10.9.0.4"), netlink.hardware_address("10.9.0.5")
    (bridge,) = json.loads(run("ip", "-j", "link", "show", "br9"))
    here, everybody = bytes.fromhex(bridge["address"].replace(":", "")), b"\xff" * 6

    def claim(source: bytes) -> None:
        """`10.9.0.5 is at` (RFC 826), unasked, to all and to the host."""
        arp = bytes.fromhex("0001080006040002") + source + bytes((10, 9, 0, 5)) + here + bytes((10, 9, 0, 1))
        for to in (everybody, here):
            os.write(guest, b"\0" * 10 + (to + source + b"\x08\x06" + arp).ljust(60, b"\0"))

    def serve() -> str:
        with socket.create_server(("0.0.0.0", 80)) as server:
            socket.create_connection(("10.9.0.1", 5000)).close()
            server.settimeout(60)
            return str(server.accept()[1][0])

    with socket.create_server(("10.9.0.1", 5000)) as host:
        if (pid := os.fork()) == 0:
            os._exit(0 if inside(5, serve) == "10.9.0.1" else 1)
        host.settimeout(60)
        host.accept()[0].close()
        for source in (own, other):
            claim(source)
        assert reached("10.9.0.5", 80) == "yes"
        assert os.waitpid(pid, 0)[1] == 0
    with suppress(BlockingIOError):
        while True:
            assert os.read(guest, 2000)[10:16] != other, "a frame that is for another"
    os.close(guest)


def test_an_address_that_is_given_again_is_at_its_new_port() -> None:
    bridge = Bridge("br9", "10.9.0.4/16", "10.9.0.1")
    first = netlink.tap(bridge, "ff4")
    second = netlink.tap(bridge, "ff5")
    os.close(first)
    known = json.loads(run("bridge", "-j", "fdb", "show", "br", "br9"))
    assert [each["ifname"] for each in known if each["mac"] == "02:42:0a:09:00:04"] == ["ff5"]
    os.close(second)


def test_it_may_use_low_ports_without_being_root() -> None:
    def serve() -> str:
        os.setresuid(65534, 65534, 65534)
        with socket.create_server(("0.0.0.0", 80)):
            return "bound"

    assert inside(2, serve) == "bound"


def test_nothing_is_left_when_it_ends() -> None:
    before = interfaces()
    assert "ff2" in inside(2, lambda: "ff2")
    until(lambda: interfaces() == before)


@pytest.mark.parametrize(
    ("to", "wrong", "about"),
    [
        (Bridge("br8", "10.9.0.2/16", "10.9.0.1"), errno.ENODEV, "br8"),
        (Bridge("lo", "10.9.0.2/16", "10.9.0.1"), errno.EINVAL, "lo: no interface ff2"),
        (Bridge("br9", "10.9.0.2/16", "10.8.0.1"), errno.ENETUNREACH, "br9: address 10.9.0.2/16 with gateway 10.8.0.1"),
        (Bridge("br9", "10.9.0.2.3/16", "10.9.0.1"), errno.EINVAL, "10.9.0.2.3"),
    ],
    ids=lambda value: value.name if isinstance(value, Bridge) else "",
)
def test_what_goes_wrong_is_named_and_leaves_nothing(to: Bridge, wrong: int, about: str) -> None:
    before = interfaces()
    stage, number, detail = inside(2, lambda: None, to)
    assert (stage, number) == ("network", wrong) and about in detail
    until(lambda: interfaces() == before)


def test_a_name_that_is_taken() -> None:
    run("ip", "link", "add", "ff2", "type", "bridge")
    assert inside(2, lambda: None) == ["network", errno.EEXIST, "br9: no interface ff2"]
    assert "ff2" in interfaces()


def test_without_privileges() -> None:
    pid = os.fork()
    if pid == 0:
        os.setresuid(65534, 65534, 65534)
        os._exit(0 if inside(2, lambda: None) == ["network", errno.EPERM, "br9: no network namespace"] else 1)
    assert os.waitpid(pid, 0)[1] == 0


def test_names_fit_and_differ() -> None:
    names = {netlink.port_name(f"shop.catalog-3-k7f2:{pid}:77") for pid in range(2000)}
    assert len(names) == 2000 and all(len(name) < 15 for name in names)


def test_it_takes_a_few_milliseconds() -> None:
    """Of CPU: how long it waits for that is the matter of whoever else runs here."""
    took = [inside(number, time.process_time) for number in range(2, 12)]
    assert sorted(took)[5] < 0.02, took
