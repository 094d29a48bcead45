"""Why a program cannot be reached: it may listen, but not where it was told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import psutil


class Diagnose:
    """`main_pid(instance)` is the pid of its main process, or None."""

    def __init__(self, main_pid: Callable[[str], int | None]) -> None:
        self._main_pid = main_pid

    async def elsewhere(self, name: str, port: int) -> str:
        """`; it listens on 0.0.0.0:3000 instead of $PORT (20013)`, or an empty string."""
        pid = self._main_pid(name)
        if pid is None:
            return ""
        found = await asyncio.to_thread(_listening, pid)
        if not found or any(address.endswith(f":{port}") for address in found):
            return ""
        return f"; it listens on {', '.join(found)} instead of $PORT ({port})"


def _listening(pid: int) -> list[str]:
    try:
        main = psutil.Process(pid)
        family = [main, *main.children(recursive=True)]
        connections = [c for process in family for c in process.net_connections("tcp")]
    except psutil.Error:
        return []
    addresses = (f"{c.laddr.ip}:{c.laddr.port}" for c in connections if c.status == psutil.CONN_LISTEN)
    return sorted(set(addresses))
