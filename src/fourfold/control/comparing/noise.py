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
    seconds: float
    """With something to do, or taken by a hypervisor for its other guests."""


def busy(stat: str, at: float, ticks_per_second: float) -> Busy:
    """Of the first line of /proc/stat (proc(5)): user, nice, system, idle, iowait, irq, softirq, steal; what guests
    take is in user already."""
    user, nice, system, _, _, irq, softirq, steal = map(int, stat.split("\n", 1)[0].split()[1:9])
    return Busy(at, (user + nice + system + irq + softirq + steal) / ticks_per_second)


def look() -> Busy:
    return busy(STAT.read_text(), time.monotonic(), os.sysconf("SC_CLK_TCK"))


def other_cores(before: Busy, after: Busy, ours: float) -> float:
    """Mean of cores that were busy with others. `ours`: CPU seconds in between of what is measured, and of what
    measures."""
    return max(0.0, after.seconds - before.seconds - ours) / max(after.at - before.at, 1e-6)
