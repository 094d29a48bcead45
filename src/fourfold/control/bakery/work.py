"""Making one build: the artifact, what it is taken away as, and that into the store."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from typing import Any

from fourfold.build.build import BuildRequest
from fourfold.build.disk.export import DiskImage
from fourfold.control.bakery.quota import Quota
from fourfold.control.bakery.shelf import Shelf
from fourfold.control.deploying.exports import Exports
from fourfold.control.groups.groups import spec_of
from fourfold.control.operations import Operation
from fourfold.control.parts import Parts
from fourfold.spec.parse import parse_json
from fourfold.store.files.bakery import BakeryFiles
from fourfold.store.room import require_room
from fourfold.store.tables.bakes import Bake, owner_of


class _Bake(Operation):
    """The machine's, whatever the file that was sent calls its app: another of that name may run here."""

    def tag(self) -> dict[str, Any]:
        return tag_of(self.app, self.services[0], self.actor, self.id)


def tag_of(app: str, service: str, actor: str, build: str) -> dict[str, Any]:
    """Of the events of a build."""
    return {"app": None, "service": None, "actor": actor, "operation": build, "of": f"{app}.{service}"}


def request_of(row: Bake) -> BuildRequest:
    app, owner = parse_json(row.spec), owner_of(row.actor)
    spec = spec_of(app, row.service)
    return BuildRequest(row.app, row.service, spec, row.source, row.pattern, apart=owner, owner=owner)


class Baker:
    def __init__(self, parts: Parts, files: BakeryFiles, quota: Quota, shelf: Shelf) -> None:
        self._parts = parts
        self._files = files
        self._shelf = shelf
        self._quota = quota
        self.exports = Exports(parts)

    async def bake(self, row: Bake) -> Bake:
        """The row with what was made. Raises UserError and WorldError. Cancelled, it leaves nothing half made."""
        parts, wanted = self._parts, request_of(row)
        operation = _Bake(row.id, row.app, "build", row.actor, parts.clock.now(), [row.service])
        made = (await parts.building.build(operation, [wanted]))[row.service]
        await self.exports.prepare(row.format, lambda line: parts.bus.emit("build.log", line, **operation.tag()))
        digest, size = await self._keep(row, await self.exports.file(made, wanted, row.format))
        return replace(row, state="done", digest=digest, size=size, runtime=made.runtime, argv=made.argv)

    async def _keep(self, row: Bake, made: DiskImage) -> tuple[str, int]:
        self._quota.require(row.actor, made.size, made.digest)
        await self._shelf.hold(row.id, made.digest)
        stop = threading.Event()
        keeping = asyncio.ensure_future(asyncio.to_thread(self._write, made, stop))
        try:
            return await asyncio.shield(keeping)
        except asyncio.CancelledError:
            stop.set()
            await asyncio.wait({keeping})
            if keeping.exception() is None:  # it was just done
                self._shelf.let_go(row.id)
                await self._shelf.drop(made.digest)
            raise

    def _write(self, made: DiskImage, stop: threading.Event) -> tuple[str, int]:
        folder, free = self._parts.paths.state, self._parts.settings.free_bytes
        require_room(folder, free, "keep the artifact", made.size)
        return self._files.take(made.pieces, stop.is_set)
