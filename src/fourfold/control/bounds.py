"""Holds artifacts and logs to their quotas: `store.garbage.quotas` says what goes, the rows what is needed."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from fourfold.clock import Clock
from fourfold.control.goals import pattern_of, restored
from fourfold.control.registry import Registry, key_of
from fourfold.paths import Paths
from fourfold.store.files.artifacts import Artifacts
from fourfold.store.files.bakery import BakeryFiles
from fourfold.store.garbage.gc import FRESH_SECONDS, Collected
from fourfold.store.garbage.quotas import LogFile, Quotas, surplus_artifacts, surplus_logs
from fourfold.store.room import lacking
from fourfold.store.tables.deployments import OPEN

SETTLING_SECONDS = 60.0
"""For which the log of an instance that no row names may be that of one that is just being started."""

Release = tuple[str, str, int]
"""App, service, number."""


class Bounds:
    def __init__(self, paths: Paths, registry: Registry, artifacts: Artifacts, quotas: Quotas, clock: Clock) -> None:
        self._paths = paths
        self._registry = registry
        self._artifacts = artifacts
        self._quotas = quotas
        self._clock = clock

    @property
    def crowded(self) -> bool:
        """Whether less is free on the disk than has to be."""
        return lacking(self._paths.state, self._quotas.free_bytes) > 0

    def needed(self, published: Collection[Release]) -> set[str]:
        """Artifacts that something is started from, or goes back to. On the thread of the database."""
        registry = self._registry
        wanted = {(key, row.release, pattern_of(row)) for key, row in registry.services.items()}
        wanted |= {(key_of(row), row.release, row.pattern) for row in registry.instances.values()}
        for key, deployment in registry.deployments.items():
            if deployment.state in OPEN and deployment.previous and key in registry.services:
                before = restored(registry.services[key], deployment.previous)
                wanted.add((key, before.release, pattern_of(before)))
        builds = [registry.build(*each) for each in wanted]
        for app, service, number in published:
            builds += [row for row in registry.store.builds.of(app, service) if row.number == number]
        return {build.artifact for build in builds if build is not None}

    def trim_artifacts(self, needed: Collection[str]) -> Collected:
        """Of releases that nothing runs, when there is too much: a rollback builds them again. For a thread."""
        kept = list(self._artifacts.list())
        too_much = sum(each.size for each in kept) - self._quotas.artifact_bytes
        excess = max(too_much, lacking(self._paths.state, self._quotas.free_bytes))
        gone = surplus_artifacts(kept, needed, self._clock.now() - FRESH_SECONDS, excess)
        return Collected({"artifacts": len(gone)}, sum(self._artifacts.remove(each.digest) for each in gone))

    def kept(self) -> dict[str, int]:
        """Bytes of what has quotas. For a thread."""
        return kept_in(self._paths)

    def running(self) -> dict[str, int]:
        return {name: row.run for name, row in self._registry.instances.items()}

    def trim_logs(self, running: dict[str, int]) -> Collected:
        """Those of what has ended, when there is too much of all. For a thread."""
        logs = logs_in(self._paths.logs)
        excess = sum(log.size for log in logs) - self._quotas.log_total
        gone = surplus_logs(logs, running, self._clock.now() - SETTLING_SECONDS, excess)
        for log in gone:
            for path in (log.path, log.path.with_name(f"{log.path.name}.idx")):
                path.unlink(missing_ok=True)
        return Collected({"logs": len(gone)}, sum(log.size for log in gone))


def kept_in(paths: Paths) -> dict[str, int]:
    """Bytes of what has quotas: kind -> how many. Files only; what is not there has none."""
    return {
        "artifacts": sum(each.size for each in Artifacts(paths).list()),
        "logs": sum(log.size for log in logs_in(paths.logs)),
        "baked files": sum(each.size for each in BakeryFiles(paths).list()),
    }


def logs_in(folder: Path) -> list[LogFile]:
    """All that there are: `logs/APP/SERVICE/INSTANCE.RUN.log`. Their indexes are small."""
    found = []
    for path in folder.glob("*/*/*.log"):
        instance, _, run = path.name.removesuffix(".log").rpartition(".")
        with suppress(FileNotFoundError):  # one that was just removed
            status = path.stat()
            if run.isdigit():
                found.append(LogFile(path, instance, int(run), status.st_blocks * 512, status.st_mtime))
    return found
