"""Networks of a test's own: nothing that happens in there is seen on this machine, and it ends with what runs in it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from fourfold.spawner import kernel


@contextmanager
def own_network() -> Iterator[None]:
    """This thread, and what it starts meanwhile, is in a new network namespace with `lo` alone. Only root may."""
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        kernel.unshare(kernel.CLONE_NEWNET)
        try:
            kernel.loopback_up()
            yield
        finally:
            kernel.setns(before, kernel.CLONE_NEWNET)
    finally:
        os.close(before)


def run(*argv: str) -> str:
    """Its output; AssertionError with what it said when it failed."""
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(argv)}: exit code {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout
