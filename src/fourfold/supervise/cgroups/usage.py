"""What an instance takes: from its groups where they count, else summed over its processes.

Files of /proc: proc(5), "/proc/pid/stat" and "/proc/pid/io".
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress

from fourfold.spawner import kernelfile
from fourfold.supervise.cgroups.counters import Counters
from fourfold.supervise.model import Usage

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_TIMES, _THREADS, _RSS = slice(11, 15), 17, 21
"""Places in `stat` behind the name of the program, which may have anything in it: fields 14 to 17 (user and system
time, of the process itself and of its children that have ended), 20 and 24."""


def measure(pids: Iterable[int], counters: Counters) -> Usage:
    """Processes that end meanwhile, or may not be looked into, count for what could be seen of them."""
    cpu, memory, threads, descriptors, read, written, processes = 0.0, 0, 0, 0, 0, 0, 0
    for pid in pids:
        with suppress(OSError, ValueError, IndexError):
            fields = kernelfile.read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
            processes += 1
            threads += int(fields[_THREADS])
            if counters.cpu_seconds is None:
                cpu += sum(map(int, fields[_TIMES])) / _TICKS
            if counters.memory_bytes is None:
                memory += int(fields[_RSS]) * _PAGE
            descriptors += _descriptors(f"/proc/{pid}/fd")
            if counters.read_bytes is None:
                io = kernelfile.read(f"/proc/{pid}/io")
                read, written = read + _named(io, b"\nread_bytes: "), written + _named(io, b"\nwrite_bytes: ")
    return Usage(
        cpu_seconds=cpu if counters.cpu_seconds is None else counters.cpu_seconds,
        memory_bytes=memory if counters.memory_bytes is None else counters.memory_bytes,
        processes=processes,
        threads=threads,
        descriptors=descriptors,
        read_bytes=read if counters.read_bytes is None else counters.read_bytes,
        written_bytes=written if counters.written_bytes is None else counters.written_bytes,
    )


def _named(lines: bytes, name: bytes) -> int:
    return int(lines.partition(name)[2].partition(b"\n")[0])


def _descriptors(folder: str) -> int:
    """How many a process has: from Linux 6.2 on the folder's size says it."""
    return os.stat(folder).st_size or len(os.listdir(folder))  # noqa: PTH116, PTH208 - for hundreds of them at once
