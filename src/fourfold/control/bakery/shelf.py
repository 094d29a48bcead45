"""Files that builds have made: which may go. Whoever keeps one and whoever drops one may be at it at the same time."""

from __future__ import annotations

import asyncio

from fourfold.store.files.bakery import BakeryFiles
from fourfold.store.tables.bakes import Bakes


class Shelf:
    def __init__(self, files: BakeryFiles, bakes: Bakes) -> None:
        self._files = files
        self._bakes = bakes
        self._held: dict[str, str] = {}
        """Build -> the file that it keeps, as long as no row says so."""
        self._dropping = asyncio.Lock()

    async def hold(self, build: str, digest: str) -> None:
        """Before it is written. From then on nobody drops it."""
        async with self._dropping:
            self._held[build] = digest

    def let_go(self, build: str) -> None:
        self._held.pop(build, None)

    async def drop(self, digest: str) -> None:
        """Unless another build has the same one."""
        async with self._dropping:
            if digest and digest not in self._held.values() and digest not in self._bakes.digests():
                await asyncio.to_thread(self._files.remove, digest)
