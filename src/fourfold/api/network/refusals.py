"""Who was refused: counted, and told in events without letting anybody flood them."""

from __future__ import annotations

import ipaddress
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

WINDOW = 60.0
"""Seconds in which the same refusals of one client are one event."""
FAILURES = 10
"""Bad tokens of one client in a window, after which it is only told to wait."""
MOST_CLIENTS = 4096
"""Remembered at once; the longest known are forgotten."""
MOST_EVENTS = 20
"""Told in one window, of all clients; the rest is counted."""

Tell = Callable[[str, str, str, int], None]
"""(reason, client, sentence, how often)"""


@dataclass
class _Seen:
    since: float
    why: str
    untold: int = 0


class Refusals:
    """`now` gives seconds that only grow."""

    def __init__(self, tell: Tell, now: Callable[[], float]) -> None:
        self._tell = tell
        self._now = now
        self.counts: Counter[str] = Counter()
        """reason -> how often since the daemon has started"""
        self._seen: OrderedDict[tuple[str, str], _Seen] = OrderedDict()
        self._window = 0.0
        self._told = 0

    def add(self, reason: str, client: str, why: str) -> bool:
        """One more. -> whether the client has had too many of these and is to wait."""
        self.counts[reason] += 1
        self.settle()
        key = (reason, network(client))
        seen = self._seen.get(key)
        if seen is None:
            if len(self._seen) >= MOST_CLIENTS:
                self._seen.popitem(last=False)
            self._seen[key] = _Seen(self._now(), why)
            self._say(reason, key[1], why, 1)
            return False
        seen.untold += 1
        return seen.untold >= FAILURES

    def settle(self) -> None:
        """Tell what has come of windows that are over."""
        now = self._now()
        while self._seen and now >= (oldest := next(iter(self._seen.items())))[1].since + WINDOW:
            (reason, client), seen = oldest
            del self._seen[reason, client]
            if seen.untold:
                self._say(reason, client, f"{seen.why} ({seen.untold} times more within {WINDOW:.0f} s)", seen.untold)

    def _say(self, reason: str, client: str, why: str, count: int) -> None:
        now = self._now()
        if now >= self._window + WINDOW:
            self._window, self._told = now, 0
        self._told += 1
        if self._told <= MOST_EVENTS:
            self._tell(reason, client, why, count)


def network(client: str) -> str:
    """A client by its address; in IPv6, where one has many, by its network of 64 bits (RFC 6177)."""
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return client
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return client
