"""The bases of one daemon: made once, shared by all services, used until they are asked for anew."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Awaitable, Callable
from pathlib import Path

from fourfold.build.bases.make import Made, make_base, require_means, to_its_end, work_folder
from fourfold.build.bases.systems import Recipe
from fourfold.clock import Clock
from fourfold.paths import Paths
from fourfold.store.files import trees
from fourfold.store.files.artifacts import Image
from fourfold.store.files.images import Images, Record

FORMAT = 1
"""Part of every base's name: raise it when the same packages are to give another root than before."""
OLD_DAYS = 30
_DAY = 86_400.0
Make = Callable[[Path], Awaitable[Made]]
"""Gets a folder to work in, which is removed afterwards."""


class Bases:
    def __init__(self, paths: Paths, clock: Clock, images: Images) -> None:
        self._work = paths.work
        self._clock = clock
        self._images = images
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()
        self._fresh: dict[str, str] = {}
        """Name -> the operation that it was made anew for: one with many services makes it once."""

    def known(self, recipe: Recipe) -> Record | None:
        return self._images.records.get(_name(recipe))

    def require(self, recipe: Recipe) -> None:
        """Raises UserError when it is not there and this host cannot make it."""
        if self.known(recipe) is None:
            require_means()

    async def get(self, recipe: Recipe, uv: str | None, log: Callable[[str], None], fresh: str = "") -> Record:
        """The base, made if need be. `fresh`: made anew, once for each such word.

        Raises UserError when this host cannot make it, and WorldError when its packages cannot be had.
        """
        title = f"base {recipe.title}"
        return await self.keep(_name(recipe), title, lambda work: make_base(recipe, work, uv, log), log, fresh)

    async def keep(self, name: str, title: str, make: Make, log: Callable[[str], None], fresh: str = "") -> Record:
        """What `make` makes in a folder of its own, unless it is there. `name` is what it is found by."""
        async with self._locks.setdefault(name, asyncio.Lock()):
            found = await asyncio.to_thread(self._images.records.get, name)
            if found is not None and (not fresh or self._fresh.get(name) == fresh):
                self._tell_age(title, found, log)
                return found
            log(f"Making the {title}, once for all services.")
            record = await self._make(name, title, make, log)
            self._fresh[name] = fresh
            return record

    async def _make(self, name: str, title: str, make: Make, log: Callable[[str], None]) -> Record:
        began = asyncio.get_running_loop().time()
        work = await asyncio.to_thread(work_folder, self._work)
        try:
            made = await make(work)
            await to_its_end(lambda: self._images.publish(made.digest, made.root, made.size))
        finally:
            await asyncio.shield(asyncio.to_thread(trees.remove, work))
        image = Image(layers=(made.digest,))
        record = Record(name, made.digest, image, made_at=self._clock.now())
        await asyncio.to_thread(self._images.records.put, record)
        seconds = asyncio.get_running_loop().time() - began
        log(f"Made the {title}: {made.size // 1024**2} MiB in {seconds:.0f} s.")
        return record

    def _tell_age(self, title: str, record: Record, log: Callable[[str], None]) -> None:
        days = int((self._clock.now() - record.made_at) / _DAY)
        if days > OLD_DAYS:
            log(f"warning: the {title} is {days} days old: --rebuild makes it anew.")


def _name(recipe: Recipe) -> str:
    return f"base {FORMAT} {recipe.name}"
