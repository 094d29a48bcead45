"""Each sandbox's own network: `lo`, perhaps `eth0` on the bridge, and the listener that its runtime client calls."""

from __future__ import annotations

import itertools
import os
import socket
from ipaddress import IPv4Network

from fourfold.functions.model import RUNTIME_API, SandboxNetwork
from fourfold.spawner import kernel, netlink
from fourfold.spawner.request import Bridge

_BACKLOG = 64


class Networks:
    def __init__(self, network: SandboxNetwork) -> None:
        self._network = network
        self._block = IPv4Network(network.block) if network.bridge else None
        self._host = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self._names = (f"sandbox:{os.urandom(8).hex()}:{serial}" for serial in itertools.count())

    @property
    def size(self) -> int | None:
        """How many addresses there are; None: none is needed."""
        return self._block.num_addresses if self._block is not None else None

    def connect(self, number: int, pid: int) -> socket.socket:
        """Furnish the network namespace of that process. -> the listener. Failed, OSError."""
        namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            bridge = self._bridge(number)
            if bridge is not None:
                netlink.plug(bridge, netlink.port_name(next(self._names)), pid)
            kernel.setns(namespace, kernel.CLONE_NEWNET)
            try:
                if bridge is not None:
                    netlink.configure(bridge)
                else:
                    kernel.loopback_up()
                return _listen()
            finally:
                kernel.setns(self._host, kernel.CLONE_NEWNET)
        finally:
            os.close(namespace)

    def _bridge(self, number: int) -> Bridge | None:
        if self._block is None:
            return None
        address = f"{self._block[number]}/{self._network.prefix}"
        return Bridge(self._network.bridge, address, self._network.gateway)


def _listen() -> socket.socket:
    host, _, port = RUNTIME_API.partition(":")
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setblocking(False)
    listener.bind((host, int(port)))
    listener.listen(_BACKLOG)
    return listener
