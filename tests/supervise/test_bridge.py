"""What the bridge of containers is asked for, as values."""

from __future__ import annotations

from typing import Any

import pytest

from fourfold.supervise.network import bridge
from fourfold.supervise.network.bridge import BridgeNetwork

USUAL = BridgeNetwork.parse("fourfold0 10.177.0.1/16")


def test_a_setting_is_read() -> None:
    assert (USUAL.name, str(USUAL.address), USUAL.gateway, USUAL.table) == (
        "fourfold0",
        "10.177.0.1/16",
        "10.177.0.1",
        "fourfold-0",
    )
    instance = USUAL.instance("10.177.0.5")
    assert (instance.name, instance.address, instance.gateway) == ("fourfold0", "10.177.0.5/16", "10.177.0.1")


NO_BRIDGES = """\
fourfold0
10.177.0.1/16
0 10.1.0.1/16
a-b 10.1.0.1/16
sixteenletterslo 10.1.0.1/16
br0; 10.1.0.1/16
br0 10.1.0.1
br0 x/16
br0 10.1.0.0/16
br0 10.1.255.255/16
br0 10.1.0.1/30
br0 10.1.0.1/7
br0 127.0.0.1/16
br0 ::1/64"""


@pytest.mark.parametrize("text", ["", *NO_BRIDGES.splitlines()])
def test_what_cannot_be_a_bridge_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must "):
        BridgeNetwork.parse(text)


def test_tables_of_bridges_differ() -> None:
    names = ("fourfold0", "fourfold1", "fourfold", "br0", "fourfoldbr0x")
    assert len({BridgeNetwork.parse(f"{name} 10.1.0.1/16").table for name in names}) == len(names)


@pytest.mark.parametrize(
    ("route", "taken"),
    [
        ({"dst": "default", "dev": "eth0"}, None),
        ({"dst": "10.176.0.0/16", "dev": "eth0"}, None),
        ({"dst": "10.177.3.0/24", "dev": "eth0"}, "10.177.3.0/24 (eth0)"),
        ({"dst": "10.0.0.0/8", "dev": "tun0"}, "10.0.0.0/8 (tun0)"),
        ({"dst": "10.177.9.9", "dev": "wg0"}, "10.177.9.9/32 (wg0)"),
        ({"type": "local", "dst": "10.177.0.1", "dev": "eth1", "table": "local"}, "10.177.0.1/32 (eth1)"),
        ({"dst": "10.177.0.0/16", "nexthops": []}, "10.177.0.0/16 (several interfaces)"),
        ({"type": "unreachable", "dst": "10.0.0.0/8", "dev": "lo"}, None),
        ({"dst": "0.0.0.0/1", "dev": "tun0"}, None),
        ({"dst": "10.177.0.0/16", "dev": "fourfold0"}, None),
    ],
    ids=lambda value: value["dst"] if isinstance(value, dict) else "",
)
def test_routes_that_are_in_the_way(route: dict[str, Any], taken: str | None) -> None:
    assert bridge.overlap(USUAL, [route]) == taken


def test_the_way_out_is_the_best_default_route() -> None:
    routes: list[dict[str, Any]] = [
        {"dst": "default", "dev": "wlan0", "metric": 600},
        {"dst": "default", "dev": "eth0", "metric": 100},
        {"dst": "default", "dev": "tun0", "table": "51820"},
        {"dst": "10.0.0.0/8", "dev": "eth1"},
    ]
    assert bridge.way_out(routes) == "eth0"
    assert bridge.way_out([]) is None


def test_ports_are_sorted_and_may_be_none() -> None:
    assert bridge.rules(USUAL, [19001, 19000]).endswith("\nadd element inet fourfold-0 ports { 19000, 19001 }\n")
    assert bridge.rules(USUAL, []).endswith("}\n")


def test_what_is_ours_beside_docker() -> None:
    listed = """\
-N DOCKER-USER
-A DOCKER-USER -o fourfold0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A DOCKER-USER -i fourfold0 -o eth0 -j ACCEPT
-A DOCKER-USER -i fourfold0 -o eth0 -j DROP
-A DOCKER-USER -i fourfold1 -o eth0 -j ACCEPT
-A DOCKER-USER -i fourfold0
-A DOCKER-USER -j RETURN
"""
    answers, way = bridge.beside_docker(USUAL, "eth0")
    assert bridge.left_in_docker(USUAL, listed) == (answers, way)
    assert bridge.beside_docker(USUAL, None) == (answers,)
