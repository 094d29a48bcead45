"""The daemon's own log, when it is the file that `fourfold` gave it, stays bounded: a full one becomes `daemon.log.1`.

What a service manager takes (a journal, a pipe) is its own to bound.
"""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path

log = logging.getLogger(__name__)

LOOK_SECONDS = 60.0
OUTPUTS = (1, 2)
"""Standard output and standard error: both are that file."""


async def keep_bounded(path: Path, most: int) -> None:
    """Until cancelled. On disk there are some twice `most` bytes at most."""
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        try:
            turn_over(path, most)
        except OSError as error:
            log.error("cannot begin a new %s: %s", path, error.strerror)


def turn_over(path: Path, most: int, outputs: tuple[int, ...] = OUTPUTS) -> bool:
    """Begin a new file if the outputs are this one and it has more than `most` bytes. Not a line is lost."""
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    ours = [fd for fd in outputs if os.path.samestat(os.fstat(fd), there)]
    if not ours or there.st_size <= most:
        return False
    path.rename(path.with_name(f"{path.name}.1"))
    new = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        for fd in ours:
            os.dup2(new, fd)
    finally:
        os.close(new)
    return True
