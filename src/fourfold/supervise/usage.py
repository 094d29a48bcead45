"""What an instance takes: from its groups where they count, else summed over its processes."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

import psutil

from fourfold.supervise.cgroups import Counters
from fourfold.supervise.model import Usage


def measure(pids: Iterable[int], counters: Counters) -> Usage:
    """Processes that end meanwhile, or may not be looked into, count for what could be seen of them."""
    cpu, memory, threads, descriptors, read, written, processes = 0.0, 0, 0, 0, 0, 0, 0
    for pid in pids:
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            process = psutil.Process(pid)
            processes += 1
            threads += process.num_threads()
            if counters.cpu_seconds is None:
                times = process.cpu_times()
                cpu += times.user + times.system
            if counters.memory_bytes is None:
                memory += process.memory_info().rss
            descriptors += process.num_fds()
            if counters.read_bytes is None:
                io = process.io_counters()
                read, written = read + io.read_bytes, written + io.write_bytes
    return Usage(
        cpu_seconds=cpu if counters.cpu_seconds is None else counters.cpu_seconds,
        memory_bytes=memory if counters.memory_bytes is None else counters.memory_bytes,
        processes=processes,
        threads=threads,
        descriptors=descriptors,
        read_bytes=read if counters.read_bytes is None else counters.read_bytes,
        written_bytes=written if counters.written_bytes is None else counters.written_bytes,
    )
