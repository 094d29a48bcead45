"""Addresses of instances on the bridge. Pure: what is given is in the rows, and nowhere else."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from fourfold.store.model import InstanceRow


def last_given(rows: Iterable[InstanceRow]) -> str | None:
    """For a daemon that has given none yet: the address of whoever came last."""
    having = [row for row in rows if row.address is not None]
    return max(having, key=lambda row: (row.created_at, row.id)).address if having else None


def next_free(
    bridge: IPv4Interface, used: Collection[str], last: str | None, blocks: Collection[str] = ()
) -> str | None:
    """The first free one after `last`, around the whole network; None when there is none.

    Not one of those in `blocks`, which sandboxes have.

    So a freed one is given again as late as can be: whoever still speaks to its old owner then speaks to nobody, not to
    a stranger.
    """
    network = bridge.network
    first, count = int(network.network_address) + 1, network.num_addresses - 2
    spans = [_span(block) for block in blocks]
    begin = first
    if last is not None and IPv4Address(last) in network:
        begin = int(IPv4Address(last)) + 1
    for step in range(count):
        number = first + (begin - first + step) % count
        address = str(IPv4Address(number))
        if address not in used and address != str(bridge.ip) and not any(low <= number < end for low, end in spans):
            return address
    return None


def block_size(concurrency: int, provisioned: int) -> int:
    """Addresses that an invoker needs: some are still leaving while others come. A power of two."""
    return 1 << max(concurrency + provisioned + 1, 3).bit_length()


def last_block(rows: Iterable[InstanceRow]) -> str | None:
    """As `last_given`."""
    having = [row for row in rows if row.block is not None]
    return max(having, key=lambda row: (row.created_at, row.id)).block if having else None


def next_block(
    bridge: IPv4Interface, size: int, used: Collection[str], blocks: Collection[str], last: str | None
) -> str | None:
    """The first free one after `last`, around the upper half of the network; None when there is none.

    Free: without an address in `used`, one of another block, the bridge's own, or the network's broadcast address.
    """
    network = bridge.network
    top, begin = int(network.broadcast_address) + 1, int(network.network_address) + network.num_addresses // 2
    count = (top - begin) // size
    after = 0
    if last is not None and begin <= (end := _span(last)[1]) <= top:
        after = -(-(end - begin) // size)
    taken = [(number, number + 1) for number in (int(IPv4Address(each)) for each in (*used, str(bridge.ip)))]
    taken += [(top - 1, top), *(_span(block) for block in blocks)]
    for step in range(count):
        low = begin + (after + step) % count * size
        if not any(first < low + size and low < end for first, end in taken):
            return str(IPv4Network((low, 32 - size.bit_length() + 1)))
    return None


def _span(block: str) -> tuple[int, int]:
    """Its first address as a number, and the one after its last."""
    network = IPv4Network(block)
    return int(network.network_address), int(network.broadcast_address) + 1
