"""Why a program cannot be reached: it may listen, but not where it was told."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path

import psutil

_EVERY = ("0.0.0.0", "::")
_LISTEN = "0A"
"""TCP_LISTEN of the kernel's net/tcp_states.h."""


async def in_none(name: str) -> None: ...


def is_halted(pid: int) -> bool:
    """Whether a signal or a debugger has stopped that process."""
    with suppress(psutil.Error):
        return psutil.Process(pid).status() in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)
    return False


class Diagnose:
    """`main_pid(instance)` is the pid of its main process, or None. `in_guest(instance)`: of a virtual machine, where
    programs listen in it, as /proc/net/tcp writes it; of others None."""

    def __init__(
        self,
        main_pid: Callable[[str], int | None],
        in_guest: Callable[[str], Awaitable[tuple[str, ...] | None]] = in_none,
    ) -> None:
        self._main_pid = main_pid
        self._in_guest = in_guest

    async def nobody(self, name: str, host: str, port: int) -> str | None:
        """As `probe.tcp`, of a virtual machine: its guest is asked, and not its port. `host`: its own address."""
        there = await self._in_guest(name)
        if there is None:
            return "its virtual machine does not say where programs listen"
        if _reached(map(_address, there), host, port):
            return None
        return f"nothing listens on {host}:{port} in its virtual machine"

    async def elsewhere(self, name: str, host: str, port: int) -> str:
        """`; it listens on 0.0.0.0:3000 instead of $PORT (20013)`, or an empty string. `host`: where it is asked."""
        there = await self._in_guest(name)
        if there is not None:
            return _judge(sorted({_address(each) for each in there}), host, port)
        pid = self._main_pid(name)
        if pid is None:
            return ""
        found = await asyncio.to_thread(_listening, pid)
        return _judge(found, host, port)


def _judge(found: list[tuple[str, int]], host: str, port: int) -> str:
    if not found or _reached(found, host, port):
        return ""
    listed = ", ".join(f"[{ip}]:{number}" if ":" in ip else f"{ip}:{number}" for ip, number in found)
    if any(number == port for _, number in found):
        return f"; it listens on {listed} only: it must listen on $HOST"
    return f"; it listens on {listed} instead of $PORT ({port})"


def _reached(found: Iterable[tuple[str, int]], host: str, port: int) -> bool:
    return any(number == port and ip in (*_EVERY, host) for ip, number in found)


def _listening(pid: int) -> list[tuple[str, int]]:
    """(address, port) of a process and its children, in its own network namespace, which psutil does not look into."""
    try:
        main = psutil.Process(pid)
        sockets = {inode for process in (main, *main.children(recursive=True)) for inode in _sockets(process.pid)}
        lines = [line for name in ("tcp", "tcp6") for line in _lines(Path(f"/proc/{pid}/net/{name}"))]
    except (psutil.Error, OSError):
        return []
    rows = [line.split() for line in lines]
    return sorted({_address(row[1]) for row in rows if row[3] == _LISTEN and row[9] in sockets})


def _sockets(pid: int) -> Iterator[str]:
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):  # closed meanwhile
            kind, _, inode = str(entry.readlink()).partition(":")
            if kind == "socket":
                yield inode[1:-1]


def _lines(table: Path) -> list[str]:
    """Without the heading; proc(5), /proc/net/tcp. None where this machine has no IPv6."""
    return table.read_text().splitlines()[1:] if table.exists() else []


def _address(text: str) -> tuple[str, int]:
    """`0100007F:1F90`: words of 32 bits in the machine's own byte order, and the port."""
    host, _, port = text.partition(":")
    words = [bytes.fromhex(host[start : start + 8]) for start in range(0, len(host), 8)]
    packed = b"".join(word[::-1] if sys.byteorder == "little" else word for word in words)
    address = ip_address(packed)
    return str(getattr(address, "ipv4_mapped", None) or address), int(port, 16)
