"""What is mounted; other tests that run beside this one mount things of their own."""

from __future__ import annotations

from pathlib import Path


def mounts_of(folder: Path) -> list[str]:
    """Lines of /proc/self/mounts (proc(5)) that name it: below it, or from it."""
    return [line for line in Path("/proc/self/mounts").read_text().splitlines() if str(folder) in line]
