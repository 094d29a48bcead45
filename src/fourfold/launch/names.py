"""What names mean in an instance with a network of its own: its host name, /etc/hosts and /etc/resolv.conf. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address

_LONGEST_LABEL = 63
"""RFC 1035, section 2.3.4."""


@dataclass(frozen=True)
class HostNames:
    """How this host resolves names: texts of its files."""

    hosts: str = ""
    """/etc/hosts"""
    resolv_conf: str = ""
    """/etc/resolv.conf"""
    upstream: str = ""
    """/run/systemd/resolve/resolv.conf: whom the resolver asks that listens on loopback; empty: there is none."""
    addresses: frozenset[str] = frozenset()
    """This host's own: a resolver that listens there is not reached from the bridge either."""

    @property
    def reachable(self) -> bool:
        """Whether an instance with a network of its own has somebody to ask."""
        return bool(self.nameservers)

    @property
    def nameservers(self) -> list[str]:
        """Those reached from the bridge: the host's, or those that these ask themselves."""
        return _nameservers(self.resolv_conf, self.addresses) or _nameservers(self.upstream, self.addresses)


def hostname(instance: str) -> str:
    """`shop.catalog-3-k7f2` -> `catalog-3-k7f2`; of a long one its end, which tells it from the others."""
    return instance.partition(".")[2][-_LONGEST_LABEL:].lstrip("-")


def service_address(internal_port: int) -> str:
    """Where instances on a bridge call a service by its name, at its own port; the bridge's rules lead from there to
    the gateway's internal port (`supervise.network.bridge`), which tells services apart.

    Of 198.18.0.0/15, which no network has (RFC 6890).
    """
    return f"198.18.{internal_port >> 8}.{internal_port & 255}"


FORWARDED_NETWORK, FORWARDED_OWN, FORWARDED_GATEWAY = "198.18.0.0/16", "198.18.0.15", "198.18.0.100"
"""Of a machine on QEMU's own network: all of it, its own address, and where it reaches internal ports. The services'
addresses are in there too, so that each can be forwarded."""


def hosts(instance: str, address: str, host: HostNames, services: Mapping[str, str] | None = None) -> str:
    """With what the host's own file says of other machines, so that a service needs no edit to move here.

    `services`: name -> address. `order-desk` is `order_desk` too, as other tools may have called it.
    """
    own = hostname(instance)
    lines = ["127.0.0.1\tlocalhost", "::1\tlocalhost ip6-localhost ip6-loopback", f"{address}\t{own}"]
    for name, place in (services or {}).items():
        lines.append(f"{place}\t{name}" + (f" {name.replace('-', '_')}" if "-" in name else ""))
    for line in host.hosts.splitlines():
        words = line.partition("#")[0].split()
        if len(words) > 1 and _is_elsewhere(words[0]):
            lines.append("\t".join((words[0], " ".join(words[1:]))))
    return "\n".join([*lines, ""])


def resolv_conf(host: HostNames) -> str:
    """The host's, without resolvers that are reached from the host alone; then those that these ask themselves."""
    others = [line for line in host.resolv_conf.splitlines() if line.startswith(("search", "domain", "options"))]
    return "\n".join([*(f"nameserver {server}" for server in host.nameservers), *others, ""])


def _nameservers(text: str, own: Collection[str]) -> list[str]:
    """Those reached from the bridge, which has no IPv6. resolv.conf(5)."""
    words = (line.split() for line in text.splitlines())
    named = [each[1] for each in words if len(each) > 1 and each[0] == "nameserver"]
    return [each for each in named if _is_elsewhere(each) and each not in own]


def _is_elsewhere(text: str) -> bool:
    """An IPv4 address that is not this host's loopback."""
    try:
        address = IPv4Address(text)
    except ValueError:
        return False
    return not (address.is_loopback or address.is_multicast or address.is_unspecified)
