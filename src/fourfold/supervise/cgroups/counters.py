"""What control groups have counted, v2 and v1. Sources: the kernel's admin-guide/cgroup-v2.rst and cgroup-v1/*.rst."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fourfold.spawner import kernelfile

if TYPE_CHECKING:
    from fourfold.supervise.cgroups.cgroups import Hierarchy


@dataclass(frozen=True)
class Counters:
    """What the controllers have counted; None where there is no such controller."""

    cpu_seconds: float | None = None
    memory_bytes: int | None = None
    read_bytes: int | None = None
    written_bytes: int | None = None


def counters(hierarchies: Iterable[Hierarchy], name: str) -> Counters:
    """Of that group in all of them."""
    cpu: float | None = None
    memory: int | None = None
    io: tuple[int, int] | None = None
    for hierarchy in hierarchies:
        readers = _READERS[hierarchy.version]
        folder = f"{hierarchy.base}/{name}"
        if readers.cpu in hierarchy.controllers or (hierarchy.version == 2 and cpu is None):
            cpu = readers.read_cpu(folder) if cpu is None else cpu
        if "memory" in hierarchy.controllers:
            memory = readers.read_memory(folder)
        if readers.io in hierarchy.controllers:
            io = readers.read_io(folder)
    read, written = io if io is not None else (None, None)
    return Counters(cpu, memory, read, written)


@dataclass(frozen=True)
class _Readers:
    cpu: str
    io: str
    read_cpu: Callable[[str], float | None]
    read_memory: Callable[[str], int | None]
    read_io: Callable[[str], tuple[int, int] | None]


def _cpu_v2(folder: str) -> float | None:
    usage = _field(f"{folder}/cpu.stat", "usage_usec")  # there without the controller too
    return None if usage is None else usage / 1e6


def _cpu_v1(folder: str) -> float | None:
    usage = _read(f"{folder}/cpuacct.usage")
    return int(usage) / 1e9 if usage else None


def _memory_v2(folder: str) -> int | None:
    return _without_cache(_read(f"{folder}/memory.current"), _field(f"{folder}/memory.stat", "inactive_file") or 0)


def _memory_v1(folder: str) -> int | None:
    inactive = _field(f"{folder}/memory.stat", "total_inactive_file") or 0
    return _without_cache(_read(f"{folder}/memory.usage_in_bytes"), inactive)


def _without_cache(usage: str, inactive: int) -> int | None:
    """The working set: page cache that the kernel would drop first is not what the program needs."""
    return max(int(usage) - inactive, 0) if usage else None


def _io_v2(folder: str) -> tuple[int, int] | None:
    read = written = 0
    for line in _read(f"{folder}/io.stat").splitlines():
        values = dict(pair.split("=", 1) for pair in line.split()[1:] if "=" in pair)
        read += int(values.get("rbytes", 0))
        written += int(values.get("wbytes", 0))
    return read, written


def _io_v1(folder: str) -> tuple[int, int] | None:
    totals = {"Read": 0, "Write": 0}
    lines = _read(f"{folder}/blkio.throttle.io_service_bytes").splitlines()
    for line in lines:
        words = line.split()
        if len(words) == 3 and words[1] in totals:
            totals[words[1]] += int(words[2])
    return (totals["Read"], totals["Write"]) if lines else None


_READERS = {
    1: _Readers("cpuacct", "blkio", _cpu_v1, _memory_v1, _io_v1),
    2: _Readers("cpu", "io", _cpu_v2, _memory_v2, _io_v2),
}


def _field(path: str, name: str) -> int | None:
    """Of a file of lines with a name and a number each, which may be dozens."""
    number = f"\n{_read(path)}".partition(f"\n{name} ")[2].partition("\n")[0]
    return int(number) if number.isdigit() else None


def _read(path: str) -> str:
    try:
        return kernelfile.read(path).decode(errors="replace").strip()
    except OSError:
        return ""
