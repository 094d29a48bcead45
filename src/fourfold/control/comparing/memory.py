"""How much memory processes take: their proportional set size (proc(5), /proc/PID/smaps_rollup).

What several have mapped (libraries, a forked parent's pages) counts for each by its share, so that sums over processes
are what the machine has to have.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable
from pathlib import Path

_PSS = re.compile(r"^Pss:\s+(\d+) kB$", re.MULTILINE)
LOOK_EVERY = 0.25
ALIKE = 0.01
"""Share by which two readings may differ that count as the same."""
PATIENCE = 4.0
"""Seconds that a program is given to stop growing or shrinking; then it is taken as it is."""


def pss(pids: Iterable[int], proc: Path = Path("/proc")) -> int | None:
    """Bytes. Processes that end meanwhile count nothing; None: we may not look into one of them."""
    total = 0
    for pid in pids:
        try:
            found = _PSS.search((proc / str(pid) / "smaps_rollup").read_text())
        except (FileNotFoundError, ProcessLookupError):
            continue
        except OSError:
            return None
        total += int(found[1]) * 1024 if found else 0  # a zombie, or a thread of the kernel, has none
    return total


async def settled(pids: Callable[[], set[int]]) -> int | None:
    """Once two readings in a row are alike."""
    deadline = asyncio.get_running_loop().time() + PATIENCE
    before = await asyncio.to_thread(pss, pids())
    while before is not None and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(LOOK_EVERY)
        now = await asyncio.to_thread(pss, pids())
        if now is not None and abs(now - before) <= ALIKE * before:
            return now
        before = now
    return before
