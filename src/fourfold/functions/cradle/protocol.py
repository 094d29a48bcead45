"""What invoker and cradle say to each other: one JSON object a packet, descriptors along with it."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

PACKET = 1 << 20
"""Bytes that one may have: the first holds an environment."""
_MOST_DESCRIPTORS = 16


@dataclass
class Group:
    """The control groups of one sandbox: folders, and files in them, empty where this host has none."""

    folders: list[str] = field(default_factory=list)
    freeze: str = ""
    """`cgroup.freeze` or `freezer.state`."""
    quota: str = ""
    share: str = ""
    """What to write to `quota` for the CPU that its memory entitles it to."""
    peak: str = ""
    memory: str = ""
    cpu: str = ""
    """`cpu.stat` or `cpuacct.usage`."""


def pair() -> tuple[socket.socket, socket.socket]:
    """Packets keep their borders, and the end of either side is seen."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def make_room(sock: socket.socket) -> None:
    """For packets of that size; what the kernel grants unasked is 208 KiB. OSError without CAP_NET_ADMIN."""
    so_sndbufforce = 32
    sock.setsockopt(socket.SOL_SOCKET, so_sndbufforce, 2 * PACKET)


def send(sock: socket.socket, message: Mapping[str, Any], descriptors: Sequence[int] = ()) -> None:
    """OSError: nobody is there any more."""
    socket.send_fds(sock, [json.dumps(message, separators=(",", ":")).encode()], list(descriptors))


def receive(sock: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """None: the other side has ended. OSError; BlockingIOError: nothing has come."""
    data, descriptors, _, _ = socket.recv_fds(sock, PACKET, _MOST_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)
    if not data:
        return None
    message: dict[str, Any] = json.loads(data)
    return message, descriptors
