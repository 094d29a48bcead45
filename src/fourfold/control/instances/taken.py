"""What an instance takes, as far as anybody can tell. Pure.

What has processes of its own is measured. A guest in the process of its host takes what that says of it, which may be a
guess, or nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from fourfold.supervise.hosts.hosted import Hosted, How
from fourfold.supervise.model import Usage


@dataclass(frozen=True)
class Taken:
    cpu_seconds: float | None = None
    cpu: How = "unknown"
    memory_bytes: int | None = None
    memory: How = "unknown"
    threads: int | None = None


@dataclass(frozen=True)
class Looked:
    """What `top` saw of an instance when it last looked."""

    at: float
    cpu_seconds: float = 0.0
    requests: int = 0


def taken(usage: Usage | None, hosted: Hosted | None = None) -> Taken:
    """`usage`: of its own processes; `hosted`: what its host says."""
    if usage is not None:
        return Taken(usage.cpu_seconds, "measured", usage.memory_bytes, "measured", usage.threads)
    if hosted is not None:
        return Taken(hosted.cpu_seconds, hosted.cpu, hosted.memory_bytes, hosted.memory, hosted.threads)
    return Taken()
