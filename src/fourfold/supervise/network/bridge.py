"""The bridge of containers and virtual machines, as values: what is asked of `ip` and `nft` to have it. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv4Network
from typing import Any, TypeAlias

from fourfold.launch.model import Bridge
from fourfold.spawner.netlink import hardware_address

_NAME = re.compile(r"[a-z][a-z0-9]{0,14}")
_LIKE_DEFAULT = 8
"""A route to more than this is a default route in disguise (VPNs: 0.0.0.0/1 and 128.0.0.0/1): nobody's network."""
DOCKER_CHAIN = "DOCKER-USER"
"""Where Docker lets others put rules before its own (its documentation, "Packet filtering and firewalls")."""
Call: TypeAlias = tuple[str, int]
"""Address and port at which a service is called by its name."""
_LEADING = ("unicast", "local")


@dataclass(frozen=True)
class BridgeNetwork:
    """`fourfold0 10.177.0.1/16`: the interface's name, its address, and with it the network of all instances."""

    name: str
    address: IPv4Interface

    @classmethod
    def parse(cls, text: str) -> BridgeNetwork:
        """ValueError with what was expected."""
        name, _, address = text.strip().partition(" ")
        expected = f"must be a name and an address such as fourfold0 10.177.0.1/16, not {text!r}"
        if not _NAME.fullmatch(name):
            raise ValueError(expected)
        try:
            parsed = IPv4Interface(address.strip())
        except ValueError:
            raise ValueError(expected) from None
        network = parsed.network
        if not 8 <= network.prefixlen <= 29:
            raise ValueError(f"must have a prefix of 8 to 29 bits, not {network.prefixlen}")
        if parsed.ip in (network.network_address, network.broadcast_address) or parsed.is_loopback:
            raise ValueError(f"must be the address of a host, not {parsed.ip}")
        return cls(name, parsed)

    @property
    def gateway(self) -> str:
        """Its own address, where instances find the way out and the gateway's internal listeners."""
        return str(self.address.ip)

    @property
    def table(self) -> str:
        """Of nftables: one per bridge, so that two daemons do not share one. `-` keeps it apart from other names."""
        return f"fourfold-{self.name.removeprefix('fourfold')}"

    def instance(self, address: str) -> Bridge:
        """What an instance with this address is connected to."""
        return Bridge(self.name, f"{address}/{self.address.network.prefixlen}", self.gateway)


def make(network: BridgeNetwork, mtu: int, owner: str) -> str:
    """For `ip -batch -`: one process, so that it is not left half-made. `owner` without spaces and quotes.

    Its hardware address is given: one without takes that of a port, and changes it whenever ports come and go.
    Without IPv6: everything on it is reached by IPv4, and rules then need to know no more.
    """
    hardware = hardware_address(network.gateway).hex(":")
    return "\n".join(
        (
            f"link add dev {network.name} address {hardware} mtu {mtu} type bridge",
            f"link set dev {network.name} alias {owner}",
            f"link set dev {network.name} addrgenmode none",
            f"address add {network.address} broadcast + dev {network.name}",
            f"link set dev {network.name} up",
            "",
        )
    )


def raised(network: BridgeNetwork) -> str:
    """For `ip -batch -`: give one that is there its address again, and have it up."""
    return f"address replace {network.address} broadcast + dev {network.name}\nlink set dev {network.name} up\n"


def rules(network: BridgeNetwork, ports: Collection[int], calls: Mapping[Call, int] | None = None) -> str:
    """For `nft -f -`, which does all of it or nothing: the table as it is to be, whatever it was.

    From the bridge only `ports` of its own address are reached on this host, and everything elsewhere; to it come
    answers only. From one instance to another nothing goes by way of this host, and its ports are isolated
    and believed nothing (`spawner.netlink`). What this host itself sends (probes, the gateway) is not asked. Linux
    answers for any of its addresses on every interface: the bridge's own is for the bridge alone. What the host
    forwards to others for its own addresses (published ports of Docker) is its own too. `calls`: which of `ports` a
    service's address and port stand for.
    """
    name, table = network.name, f"inet {network.table}"
    return f"""\
add table {table}
delete table {table}
table {table} {{
    set ports {{
        type inet_service
    }}
    map calls {{
        type ipv4_addr . inet_service : inet_service
    }}
    chain prerouting {{
        type nat hook prerouting priority dstnat; policy accept;
        iifname "{name}" meta l4proto tcp dnat ip to {network.gateway} : ip daddr . tcp dport map @calls
    }}
    chain input {{
        type filter hook input priority filter; policy accept;
        iifname != {{ "lo", "{name}" }} ip daddr {network.gateway} reject
        iifname != "{name}" accept
        ct state established,related accept
        ip daddr {network.gateway} tcp dport @ports accept
        reject
    }}
    chain forward {{
        type filter hook forward priority filter; policy accept;
        iifname "{name}" oifname "{name}" reject
        oifname "{name}" ct state established,related accept
        iifname "{name}" ct status dnat reject
        iifname "{name}" accept
        oifname "{name}" reject
    }}
    chain postrouting {{
        type nat hook postrouting priority srcnat; policy accept;
        ip saddr {network.address.network} oifname != "{name}" masquerade
    }}
}}
{_elements(network, ports)}{_called(network, calls or {})}"""


def _elements(network: BridgeNetwork, ports: Collection[int]) -> str:
    listed = ", ".join(str(port) for port in sorted(ports))
    return f"add element inet {network.table} ports {{ {listed} }}\n" if listed else ""


def _called(network: BridgeNetwork, calls: Mapping[Call, int]) -> str:
    listed = ", ".join(f"{address} . {port} : {internal}" for (address, port), internal in sorted(calls.items()))
    return f"add element inet {network.table} calls {{ {listed} }}\n" if listed else ""


def beside_docker(network: BridgeNetwork, way_out: str | None) -> tuple[tuple[str, ...], ...]:
    """Rules for DOCKER_CHAIN, as `iptables -S` has them: Docker drops whatever is forwarded that is not its own.

    Out by `way_out` alone, for what leads to its containers is forwarded too.
    """
    answers = ("-o", network.name, "-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED", "-j", "ACCEPT")
    return (answers, ("-i", network.name, "-o", way_out, "-j", "ACCEPT")) if way_out else (answers,)


def left_in_docker(network: BridgeNetwork, listed: str) -> tuple[tuple[str, ...], ...]:
    """Of what `iptables -S` says of DOCKER_CHAIN: what `beside_docker` has put there for whatever way out."""
    rules = [tuple(line.split()[2:]) for line in listed.splitlines() if line.startswith("-A ")]
    return tuple(rule for rule in rules if rule in beside_docker(network, rule[3] if len(rule) == 6 else None))


def overlap(network: BridgeNetwork, routes: Iterable[Mapping[str, Any]]) -> str | None:
    """Of what `ip -j -4 route show table all` says: what already leads to one of its addresses, or None."""
    for route in routes:
        if route["dst"] == "default" or route.get("dev") == network.name:
            continue
        if route.get("type", "unicast") not in _LEADING:
            continue
        there = IPv4Network(route["dst"])
        if there.prefixlen >= _LIKE_DEFAULT and there.overlaps(network.address.network):
            return f"{there} ({route.get('dev', 'several interfaces')})"
    return None


def way_out(routes: Iterable[Mapping[str, Any]]) -> str | None:
    """Of the same: the interface of the default route with the lowest metric."""
    ways = [route for route in routes if route["dst"] == "default" and "dev" in route and "table" not in route]
    return min(ways, key=lambda route: int(route.get("metric", 0)))["dev"] if ways else None
