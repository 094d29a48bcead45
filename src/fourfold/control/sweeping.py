"""`gc`: the stores' files behind the collector's small protocol."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

from fourfold.control.parts import Parts
from fourfold.control.views import GcView
from fourfold.store import gc
from fourfold.store.blobs import Kept


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
            stats = [path.stat() for path in files]
            yield Kept(instance, sum(each.st_blocks * 512 for each in stats), max(each.st_mtime for each in stats))

    def remove(self, digest: str) -> int:
        freed = sum(path.stat().st_blocks * 512 for path in self._files[digest])
        for path in self._files[digest]:
            path.unlink(missing_ok=True)
        return freed


async def collect_garbage(parts: Parts) -> GcView:
    in_use = gc.InUse(sources=frozenset(parts.deployer.in_use), instances=frozenset(parts.registry.instances))
    garbage, rows = gc.collect(parts.store, in_use, parts.clock.now())
    files = await asyncio.to_thread(
        gc.sweep,
        garbage,
        artifacts=parts.artifacts,
        sources=parts.sources,
        blobs=parts.blobs,
        logs=_Logs(parts.paths.logs),
    )
    return GcView(removed=rows.removed | files.removed, freed_bytes=files.freed_bytes)
