"""Internal ports: kept as long as they can be, and left to strangers that took them while the gateway did not run."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from fourfold.control.settings import Settings
from tests.control.life import Life, Want, lived
from tests.support.ports import free_port


@contextmanager
def stranger(port: int) -> Iterator[None]:
    with socket.socket() as taker:
        taker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taker.bind(("127.0.0.1", port))
        taker.listen()
        yield


def ported(life: Life) -> int:
    """`web`, with the port that it is given first."""
    low = free_port()
    life.deployer.ports._settings = Settings(internal_ports=(low, low + 20))
    return life.deployer.ports.internal("shop", "web")


@lived
def test_a_service_keeps_its_port_over_down_and_up(life: Life) -> None:
    port = ported(life)
    assert life.deployer.ports.internal("shop", "web") == port
    assert life.deployer.ports.internal("shop", "other") != port


@lived
def test_a_service_that_comes_back_leaves_its_port_to_a_stranger(life: Life) -> None:
    port = ported(life)
    with stranger(port):
        assert (new := life.deployer.ports.internal("shop", "web")) != port
    assert life.deployer.ports.internal("shop", "web") == new


@lived
def test_a_port_that_the_gateway_has_is_not_a_strangers(life: Life) -> None:
    port = ported(life)
    life.up(Want("web", ("/",), internal_port=port))
    life.settle()
    life.slow.add("web")
    life.up(Want("web", port=None))  # and goes on having while this is deployed
    with stranger(port):  # HAProxy
        assert life.deployer.ports.internal("shop", "web") == port


@lived
def test_after_a_reboot_ports_that_strangers_have_are_left(life: Life) -> None:
    port = ported(life)
    life.up(Want("web", ("/",), internal_port=port))
    life.settle()
    life.deployer.ports.leave_taken()
    assert life.registry.services["shop.web"].internal_port == port
    with stranger(port):
        life.deployer.ports.leave_taken()
    new = life.registry.services["shop.web"].internal_port
    assert new not in (None, port)
    assert life.config().backends[0].internal_port == new
    assert [event.kind for event in life.bus.since(0)][-1] == "gateway.port"
