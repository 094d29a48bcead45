"""Sources, what services are built into, and the end of what waits or builds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from fourfold.control import views as v
from fourfold.control.requests.base import Requests
from fourfold.store.manifest import Manifest
from fourfold.store.room import require_room, while_room

if TYPE_CHECKING:
    from fourfold.build.disk.export import DiskImage
    from fourfold.build.oci.export import Archive
    from fourfold.control.bakery.bakery import Bakery
    from fourfold.control.deploying.imaging import Imaging


class Builds(Requests):
    @cached_property
    def _imaging(self) -> Imaging:
        """Imported by those who make images, not by every daemon that starts."""
        from fourfold.control.deploying.imaging import Imaging

        return Imaging(self._parts)

    @cached_property
    def bakery(self) -> Bakery:
        """Likewise, by those who bake."""
        from fourfold.control.bakery.bakery import Bakery

        return Bakery(self._parts)

    async def build(self, request: v.UpRequest, form: str | None = None) -> v.OperationView:
        return await self._imaging.build(request, form)

    async def artifact(self, request: v.UpRequest) -> v.ArtifactView:
        return await self._imaging.artifact(request)

    async def image(self, request: v.UpRequest) -> Archive:
        return await self._imaging.image(request)

    async def disk(self, request: v.UpRequest, form: str) -> DiskImage:
        return await self._imaging.disk(request, form)

    async def push(self, request: v.UpRequest, reference: str) -> v.ImageView:
        return await self._imaging.push(request, reference)

    async def cancel(self, operation: str, actor: str) -> None:
        if self._parts.store.bakes.is_open(operation):
            return await self.bakery.remove(operation, actor)
        await self._parts.operations.cancel(operation, actor)

    async def offer_source(self, manifest: Mapping[str, Any]) -> tuple[str, list[str]]:
        parsed = await asyncio.to_thread(Manifest.parse, manifest)
        await asyncio.to_thread(self._require_room)
        return await asyncio.to_thread(self._parts.sources.offer, parsed)

    async def receive_blobs(self, pieces: AsyncIterator[bytes]) -> None:
        await self._parts.blobs.receive(while_room(pieces, self._require_room))

    def _require_room(self) -> None:
        require_room(self._parts.paths.state, self._parts.settings.free_bytes, "take a source")
