"""Reads how this host resolves names."""

from __future__ import annotations

import re
from pathlib import Path

from fourfold.launch.names import HostNames

_LOCAL = re.compile(r"\|-- ([0-9.]+)\n +/32 host LOCAL$", re.MULTILINE)
UPSTREAM = Path("/run/systemd/resolve/resolv.conf")


def read_host_names() -> HostNames:
    """Small files, anew for each instance: machines change networks."""
    own = own_addresses(_text(Path("/proc/net/fib_trie")))
    return HostNames(_text(Path("/etc/hosts")), _text(Path("/etc/resolv.conf")), _text(UPSTREAM), own)


def own_addresses(trie: str) -> frozenset[str]:
    """Of /proc/net/fib_trie: an address, and in a line below what it is."""
    return frozenset(_LOCAL.findall(trie))


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""
