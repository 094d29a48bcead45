"""What goes first when there is more than there may be. Pure; sizes in bytes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from fourfold.store.files.blobs import Kept

T = TypeVar("T")


@dataclass(frozen=True)
class Quotas:
    artifact_bytes: int = 50 * 1024**3
    log_total: int = 4 * 1024**3
    free_bytes: int = 0
    """That stay free on the disk: see `store.room`."""
    bakery_days: float = 7.0


@dataclass(frozen=True)
class LogFile:
    """The log of one run of an instance."""

    path: Path
    instance: str
    run: int
    size: int
    """On disk."""
    written_at: float


def surplus_artifacts(kept: Iterable[Kept], needed: Collection[str], used_before: float, excess: int) -> list[Kept]:
    """Those not used for longest, up to `excess` bytes; none that is `needed`, or was used a moment ago."""
    free_to_go = [each for each in kept if each.digest not in needed and each.used_at < used_before]
    return list(_until(sorted(free_to_go, key=lambda each: each.used_at), lambda each: each.size, excess))


def surplus_logs(
    logs: Iterable[LogFile], running: Mapping[str, int], written_before: float, excess: int
) -> list[LogFile]:
    """The oldest of instances that are gone, then the oldest of runs before the present one, up to `excess` bytes.

    `running`: instance -> its run. What unknown instances have written lately stays: they may be about to be known.
    """
    ended = [
        log
        for log in logs
        if (log.run < running[log.instance] if log.instance in running else log.written_at < written_before)
    ]
    order = sorted(ended, key=lambda log: (log.instance in running, log.written_at))
    return list(_until(order, lambda log: log.size, excess))


def share_of(log_total: int, log_bytes: int, instances: int) -> int:
    """What one more log may take beside those of so many `instances`."""
    return max(64 * 1024, min(log_bytes, log_total // (instances + 1)))


def _until(items: Iterable[T], size: Callable[[T], int], excess: int) -> Iterator[T]:
    for item in items:
        if excess <= 0:
            return
        excess -= size(item)
        yield item
