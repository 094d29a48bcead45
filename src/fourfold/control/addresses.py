"""Addresses of instances on the bridge. Pure: what is given is in the rows, and nowhere else."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from ipaddress import IPv4Address, IPv4Interface

from fourfold.store.model import InstanceRow


def last_given(rows: Iterable[InstanceRow]) -> str | None:
    """For a daemon that has given none yet: the address of whoever came last."""
    having = [row for row in rows if row.address is not None]
    return max(having, key=lambda row: (row.created_at, row.id)).address if having else None


def next_free(bridge: IPv4Interface, used: Collection[str], last: str | None) -> str | None:
    """The first free one after `last`, around the whole network; None when there is none.

    So a freed one is given again as late as can be: whoever still speaks to its old owner then speaks to nobody, not to
    a stranger.
    """
    network = bridge.network
    first, count = int(network.network_address) + 1, network.num_addresses - 2
    begin = first
    if last is not None and IPv4Address(last) in network:
        begin = int(IPv4Address(last)) + 1
    for step in range(count):
        address = str(IPv4Address(first + (begin - first + step) % count))
        if address not in used and address != str(bridge.ip):
            return address
    return None
