"""Control groups that a program has made inside its own, as the invoker of a function does."""

from __future__ import annotations

import os
from collections.abc import Iterator

from fourfold.spawner import kernelfile


def with_inner(group: str) -> Iterator[str]:
    """Folders of a group and of all in it, inner ones first; the group alone when it is not there (any more)."""
    try:
        if os.stat(group).st_nlink != 2:  # a folder has one link more for each in it
            with os.scandir(group) as entries:
                inner = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
            for folder in inner:
                yield from with_inner(folder)
    except OSError:
        pass
    yield group


def members(group: str) -> set[int]:
    """Pids of all processes in there."""
    found: set[int] = set()
    for folder in with_inner(group):
        try:
            found.update(map(int, kernelfile.read(f"{folder}/cgroup.procs").split()))
        except OSError:
            continue
    return found


def remove(group: str) -> bool:
    """-> whether it is gone; one with living processes stays."""
    gone = True
    for folder in with_inner(group):
        try:
            os.rmdir(folder)
        except FileNotFoundError:
            pass
        except OSError:
            gone = False
    return gone
