"""How much of a process's memory is whose: an estimate, as nothing in one heap says who asked for it.

Whoever runs allocates: what the process grows or shrinks by in a second is put down to its guests by the CPU that
their threads used in it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from .owners import Owner

EVERY = 1.0
"""Seconds."""
_LEAST = 0.001
"""Seconds of CPU below which nothing is said about who grew."""


class Memory:
    def __init__(self) -> None:
        self.whole = resident()
        self._looked = 0.0
        self._cpu: dict[int, float] = {}
        self._bytes: dict[int, float] = {}

    def of(self, owner: Owner) -> int:
        return int(self._bytes.get(id(owner), 0.0))

    def forget(self, owner: Owner) -> None:
        self._bytes.pop(id(owner), None)
        self._cpu.pop(id(owner), None)

    def look(self, owners: Sequence[Owner], now: float) -> None:
        if now - self._looked < EVERY:
            return
        self._looked = now
        before, self.whole = self.whole, resident()
        grown = self.whole - before
        used = {}
        for owner in owners:
            cpu = owner.cpu()
            used[id(owner)] = cpu - self._cpu.get(id(owner), 0.0)
            self._cpu[id(owner)] = cpu
        if (total := sum(used.values())) < _LEAST:
            return
        for key, seconds in used.items():
            self._bytes[key] = max(0.0, self._bytes.get(key, 0.0) + grown * seconds / total)


def resident() -> int:
    """Bytes of this process in memory, proc(5) `statm`."""
    with open("/proc/self/statm", "rb") as file:  # noqa: PTH123
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
