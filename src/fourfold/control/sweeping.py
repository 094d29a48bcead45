"""Garbage: collected when asked for, after operations, and every day. The stores' files behind gc's protocol."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from fourfold.clock import Clock
from fourfold.control.bounds import Bounds
from fourfold.control.costing.journals import Journals, is_over
from fourfold.control.goals import pattern_of
from fourfold.control.operations import Operations
from fourfold.control.registry import Registry
from fourfold.control.views import GcView
from fourfold.errors import FourfoldError
from fourfold.paths import Paths
from fourfold.store.files import trees
from fourfold.store.files.artifacts import Artifacts
from fourfold.store.files.bakery import BakeryFiles
from fourfold.store.files.blobs import Blobs, Kept
from fourfold.store.files.compressed import CompressedLayers
from fourfold.store.files.disks import Disks
from fourfold.store.files.images import Images
from fourfold.store.files.sources import Sources
from fourfold.store.files.templates import Templates, sweep_templates
from fourfold.store.garbage import gc
from fourfold.store.garbage.disks import sweep_disks
from fourfold.store.garbage.images import sweep_images
from fourfold.store.garbage.quotas import Quotas

log = logging.getLogger(__name__)

QUIET_SECONDS = 60.0
"""Between an operation and the collection after it: for those that come together."""
WATCH_SECONDS = 60.0
"""Between looks at what grows by itself."""
EVERY_SECONDS = 86_400.0
"""Without operations too: a crash loop writes thousands of events a day."""


class Sweeper:
    """`in_use` gives the sources of operations in progress."""

    def __init__(
        self,
        paths: Paths,
        registry: Registry,
        artifacts: Artifacts,
        sources: Sources,
        blobs: Blobs,
        operations: Operations,
        clock: Clock,
        in_use: Callable[[], Iterable[str]],
        journals: Journals,
        quiet: float = QUIET_SECONDS,
        quotas: Quotas | None = None,
    ) -> None:
        quotas = quotas or Quotas()
        self._bounds = Bounds(paths, registry, artifacts, quotas, clock)
        self._bakery = BakeryFiles(paths)
        self._bakery_seconds = quotas.bakery_days * EVERY_SECONDS
        self._journals = journals
        self._registry = registry
        self._artifacts = artifacts
        self._sources = sources
        self._blobs = blobs
        self._images = Images(paths)
        self._compressed = CompressedLayers(paths)
        self._disks = Disks(paths)
        self._templates = Templates(paths)
        self._logs = _Logs(paths.logs)
        self._caches = _Caches(paths.caches, paths.work, operations.busy)
        self._operations = operations
        self._clock = clock
        self._in_use = in_use
        self._quiet = quiet
        self._one = asyncio.Lock()

    async def run(self) -> None:
        """Until cancelled."""
        self._operations.ended.set()  # what a daemon before this one has left
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(EVERY_SECONDS):
                    await self._operations.ended.wait()
            await asyncio.sleep(self._quiet)
            self._operations.ended.clear()
            if self._operations.at_work:
                continue  # its end is waited for
            try:
                view = await self.collect()
            except FourfoldError as error:
                log.error("%s", error)
            except Exception:  # a mistake of ours must not let the disk fill up
                log.exception("a fault while garbage was collected")
            else:
                log.info("garbage collected: %s, %d bytes", view.removed, view.freed_bytes)

    async def watch(self) -> None:
        """Until cancelled: logs grow between collections too, and a disk that fills up needs one."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            try:
                await asyncio.to_thread(self._bounds.trim_logs, self._bounds.running())
                if await asyncio.to_thread(lambda: self._bounds.crowded):
                    self._operations.ended.set()
            except OSError as error:
                log.error("cannot look at logs: %s", error)

    async def collect(self) -> GcView:
        """Rows on the event loop, files beside it."""
        async with self._one:
            garbage, rows = await self._collect_rows()
            files = await asyncio.to_thread(
                gc.sweep,
                garbage,
                artifacts=self._artifacts,
                sources=self._sources,
                blobs=self._blobs,
                logs=self._logs,
                caches=self._caches,
            )
            # Before what artifacts stand on and boot, which goes with them.
            trimmed = await asyncio.to_thread(self._bounds.trim_artifacts, self._bounds.needed(self._published()))
            logs = await asyncio.to_thread(self._bounds.trim_logs, self._bounds.running())
            baked = await asyncio.to_thread(self._sweep_bakery, self._registry.store.bakes.digests())
            images = await asyncio.to_thread(
                sweep_images, self._images, self._compressed, self._artifacts, self._clock.now()
            )
            disks = await asyncio.to_thread(sweep_disks, self._disks, self._artifacts, self._clock.now())
            templates = await asyncio.to_thread(sweep_templates, self._templates, self._current(), self._clock.now())
            over = is_over(self._registry.instances, self._journals.names())
            folded = await asyncio.to_thread(self._journals.fold, over)
            kept = await asyncio.to_thread(self._bounds.kept)
        removed = Counter(rows)
        swept = (files, trimmed, logs, baked, images, disks, templates)
        for each in swept:
            removed.update(each.removed)
        freed = sum(each.freed_bytes for each in swept) + folded
        return GcView(removed=dict(removed), freed_bytes=freed, kept=kept)

    def _sweep_bakery(self, named: set[str]) -> gc.Collected:
        """Files of builds that are forgotten, and those whose build was cancelled at the very end."""
        before = self._clock.now() - gc.FRESH_SECONDS
        old = [each for each in self._bakery.list() if each.digest not in named and each.used_at < before]
        return gc.Collected({"baked files": len(old)}, sum(self._bakery.remove(each.digest) for each in old))

    def _published(self) -> set[tuple[str, str, int]]:
        versions = self._registry.store.functions.versions()
        return {(row.app, row.service, row.release) for row in versions if not row.deleted}

    def _current(self) -> set[str]:
        """Artifacts that services are started from now."""
        rows = self._registry.services.items()
        builds = (self._registry.build(key, row.release, pattern_of(row)) for key, row in rows)
        return {build.artifact for build in builds if build is not None}

    async def _collect_rows(self) -> tuple[gc.Garbage, dict[str, int]]:
        """One service after the other: others want answers meanwhile."""
        store, now = self._registry.store, self._clock.now()
        baked = store.bakes.trim(now - self._bakery_seconds)
        in_use = gc.InUse(
            sources=frozenset(self._in_use()),
            releases=frozenset(self._published()),
            instances=frozenset(self._registry.instances),
            caches=store.bakes.scopes(),
        )
        parts = []
        for app, service in gc.scopes(store):
            parts.append(gc.collect(store, in_use, now, app, service))
            self._registry.forget_releases(parts[-1].releases)
            await asyncio.sleep(0)
        garbage = gc.together(parts, in_use, now)
        return garbage, {
            "releases": len(garbage.releases),
            "deployments": len(garbage.deployments),
            "instances": len(garbage.instances),
            "builds": baked,
            "hours": store.usage.trim(now),
            "events": store.events.trim(gc.KEEP_EVENTS, gc.KEEP_LINES, gc.KEEP_ROUTINE),
        }


class _Logs:
    """Logs of instances: `logs/APP/SERVICE/INSTANCE.RUN.log` and what stands beside them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, list[Path]] = {}

    def list(self) -> Iterable[Kept]:
        self._files = {}
        for path in self._folder.glob("*/*/*"):
            instance = path.name.removesuffix(".idx").removesuffix(".log").rpartition(".")[0]
            self._files.setdefault(instance, []).append(path)
        for instance, files in self._files.items():
            with suppress(FileNotFoundError):  # a start has removed older ones
                stats = [path.stat() for path in files]
                yield Kept(instance, sum(each.st_blocks * 512 for each in stats), max(each.st_mtime for each in stats))

    def remove(self, digest: str) -> int:
        freed = 0
        for path in self._files[digest]:
            with suppress(FileNotFoundError):
                freed += path.stat().st_blocks * 512
                path.unlink()
        return freed


class _Caches:
    """What builds of a service keep: `caches/APP.SERVICE`. Not touched while its app is `busy`: it may be building."""

    def __init__(self, folder: Path, work: Path, busy: Callable[[str], bool]) -> None:
        self._folder = folder
        self._work = work
        self._busy = busy

    def list(self) -> Iterable[Kept]:
        for path in self._folder.iterdir():
            if not self._busy(path.name.partition(".")[0]):
                with suppress(FileNotFoundError):  # the bakery may be building with it
                    used_at = max(each.stat().st_mtime for each in (path, *path.iterdir()))
                    yield Kept(path.name, 0, used_at)

    def remove(self, digest: str) -> int:
        """Moved away at once: a build that begins now begins with none."""
        away = self._work / f"cache-{digest}"
        (self._folder / digest).rename(away)
        return trees.remove(away)
