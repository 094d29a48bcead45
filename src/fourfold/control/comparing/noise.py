"""How busy the machine was with what is neither measured nor measures. Pure, but for the look at /proc/stat."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

STAT = Path("/proc/stat")


@dataclass(frozen=True)
class Busy:
    """Since the machine has started, over all cores."""

    at: float
    """Monotonic seconds."""
    busy: float
    """Seconds with something to do, or taken by a hypervisor for others."""
    stolen: float
    """Of those: the latter."""


@dataclass(frozen=True)
class Noise:
    """Over one measurement."""

    seconds: float
    cores: int
    other_cores: float
    """Mean of cores that were busy with others; with what a hypervisor took for its other guests."""
    stolen_cores: float = 0.0
    """Of those: what a hypervisor took."""


def busy(stat: str, at: float, ticks_per_second: float) -> Busy:
    """Of the first line of /proc/stat (proc(5)): user, nice, system, idle, iowait, irq, softirq, steal; what guests
    take is in user already."""
    user, nice, system, _, _, irq, softirq, steal = map(int, stat.split("\n", 1)[0].split()[1:9])
    ticks = user + nice + system + irq + softirq + steal
    return Busy(at, ticks / ticks_per_second, steal / ticks_per_second)


def look() -> Busy:
    return busy(STAT.read_text(), time.monotonic(), os.sysconf("SC_CLK_TCK"))


def noise(before: Busy, after: Busy, ours: float, cores: int) -> Noise:
    """`ours`: CPU seconds in between of what is measured, and of what measures."""
    seconds = max(after.at - before.at, 1e-6)
    others = max(0.0, after.busy - before.busy - ours)
    return Noise(seconds, cores, others / seconds, (after.stolen - before.stolen) / seconds)
