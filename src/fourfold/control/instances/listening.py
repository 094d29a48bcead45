"""Which TCP ports of this machine something listens on: one question to the kernel for all who wait for theirs.

A look takes 0.2 ms, however many wait; to try a connection takes as long, for each of them.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

STARTING_SECONDS = (0.01, 0.25)
"""The shortest and the longest pause between two looks at what starts: a quarter of the time that it has taken so far,
so that it is known to be there soon after it is, and few ask who are slow."""

# sock_diag(7); numbers are from the kernel's linux/sock_diag.h, linux/inet_diag.h, linux/netlink.h, net/tcp_states.h
_NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY = 4, 20
_REQUEST, _DUMP, _ERROR, _DONE = 0x1, 0x300, 2, 3
_TCP_LISTEN = 10
_HEADER = struct.Struct("=IHHII")
_QUESTION = struct.Struct("=BBBxI48x")
"""struct inet_diag_req_v2, with any addresses."""
_FAILED = struct.Struct("=i")
_PORT = struct.Struct("!4xH")
"""The first of struct inet_diag_msg."""


@dataclass(eq=False)
class _Waiter:
    port: int
    since: float
    there: asyncio.Future[None]


class Listening:
    def __init__(self, look: Callable[[], set[int]] | None = None) -> None:
        self._look = look or ports
        self._waiting: set[_Waiter] = set()
        self._next: asyncio.TimerHandle | None = None

    async def begins(self, port: int, since: float, seconds: float) -> None:
        """Wait until something listens there, or perhaps does, where the kernel does not tell; for `seconds` at most.

        `since`: when it was waited for first, by the event loop's clock."""
        waiter = _Waiter(port, since, asyncio.get_running_loop().create_future())
        self._waiting.add(waiter)
        self._look_in(0.0)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await waiter.there
        finally:
            self._waiting.discard(waiter)

    def _look_in(self, seconds: float) -> None:
        if self._next is not None:
            self._next.cancel()
        self._next = asyncio.get_running_loop().call_later(seconds, self._look_now)

    def _look_now(self) -> None:
        self._next = None
        if not self._waiting:
            return
        try:
            found = self._look()
        except OSError:  # a kernel without it
            found = {waiter.port for waiter in self._waiting}
        for waiter in self._waiting:
            if waiter.port in found and not waiter.there.done():
                waiter.there.set_result(None)
        youngest = asyncio.get_running_loop().time() - max(waiter.since for waiter in self._waiting)
        shortest, longest = STARTING_SECONDS
        self._look_in(min(max(youngest / 4, shortest), longest))


def ports() -> set[int]:
    """Those of all addresses, IPv4 and IPv6, in the network that we are in. OSError."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG) as kernel:
        return of_family(kernel, socket.AF_INET) | of_family(kernel, socket.AF_INET6)


def of_family(kernel: socket.socket, family: int) -> set[int]:
    """As `ports`, of AF_INET or AF_INET6 alone. `kernel`: a netlink socket of sock_diag."""
    question = _QUESTION.pack(family, socket.IPPROTO_TCP, 0, 1 << _TCP_LISTEN)
    kernel.send(_HEADER.pack(_HEADER.size + len(question), _SOCK_DIAG_BY_FAMILY, _REQUEST | _DUMP, 0, 0) + question)
    found: set[int] = set()
    while True:
        answer, at = kernel.recv(65536), 0
        while at < len(answer):
            length, kind, *_ = _HEADER.unpack_from(answer, at)
            if kind in (_DONE, _ERROR):
                (failed,) = _FAILED.unpack_from(answer, at + _HEADER.size)
                if failed:  # where TCP's part of it is not there, only the end of an empty answer says so
                    raise OSError(-failed, "sock_diag")
                return found
            found.add(_PORT.unpack_from(answer, at + _HEADER.size)[0])
            at += (length + 3) & ~3
