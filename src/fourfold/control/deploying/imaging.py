"""`build`: what a service is built into, without deploying it, and that as an image or a disk for elsewhere."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path

from fourfold.build.build import BuildRequest
from fourfold.build.disk.export import DiskImage
from fourfold.build.oci import transport
from fourfold.build.oci.compose import Composed
from fourfold.build.oci.export import Archive, archive, write_layout
from fourfold.control import views as v
from fourfold.control.deploying.changes import overrides_for
from fourfold.control.deploying.checks import chosen, read_app
from fourfold.control.deploying.exports import Exports
from fourfold.control.deploying.wishes import check_overrides, located, source_of
from fourfold.control.groups.groups import spec_of
from fourfold.control.operations import Operation
from fourfold.control.parts import Parts
from fourfold.errors import UserError
from fourfold.spec.app import App
from fourfold.store.files import trees
from fourfold.store.files.disks import Disks
from fourfold.store.files.images import Images

IMAGE = "oci"
"""What is asked for next is the image of a container, in whichever form."""


class Imaging:
    """Requests are those of `up`: what is built is what would be deployed."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._images = Images(parts.paths)
        self._stored = Disks(parts.paths)
        self._exports = Exports(parts)

    async def build(self, request: v.UpRequest, form: str | None = None) -> v.OperationView:
        """With what a disk in the format `form` needs besides; IMAGE: what an image of a container needs. Raises
        UserError for what cannot be built here, and for what has no such form; nothing has changed then."""
        requests = self._requests(request)
        if form is not None:
            await self._exports.check(requests, form)
        for each in requests:
            await self._parts.builder.plan(each)
        names = [each.service for each in requests]
        return self._parts.operations.submit(
            requests[0].app, "build", request.actor, names, partial(self._work, requests, form, request.rebuild)
        )

    async def _work(self, requests: list[BuildRequest], form: str | None, rebuild: bool, operation: Operation) -> None:
        if rebuild:
            requests = [replace(each, fresh=operation.id) for each in requests]
        with self._parts.building.holding(each.source for each in requests):
            await self._parts.building.build(operation, requests)
            if form is not None:
                tag = {"service": requests[0].service, **operation.tag()}
                await self._exports.prepare(form, lambda line: self._parts.bus.emit("build.log", line, **tag))

    async def artifact(self, request: v.UpRequest) -> v.ArtifactView:
        """What `build` made, or makes now."""
        wanted = self._one(request)
        made = await self._parts.builder.build(wanted, _no_log)
        base = made.image.layers if made.image else ()
        sizes = await asyncio.to_thread(lambda: [self._images.size(digest) for digest in base])
        boot = (made.boot.kernel, made.boot.initrd, *made.boot.disks) if made.boot else ()
        booted = await asyncio.to_thread(lambda: [self._stored.size(key) for key in boot])
        return v.ArtifactView(
            service=wanted.service,
            pattern=wanted.pattern,
            digest=made.digest,
            runtime=made.runtime,
            argv=list(made.argv),
            size_bytes=made.size,
            base=[v.LayerView(digest=digest, size_bytes=size) for digest, size in zip(base, sizes, strict=True)],
            disks=[v.LayerView(digest=key, size_bytes=size) for key, size in zip(boot, booted, strict=True)],
        )

    async def image(self, request: v.UpRequest) -> Archive:
        return archive(await self._compose(request))

    async def push(self, request: v.UpRequest, reference: str) -> v.ImageView:
        """`reference` is `HOST/NAME:TAG`, as `docker push` takes it."""
        if reference.partition("://")[1]:
            raise UserError(f"cannot push to {reference!r}: it has a transport", "write it as HOST/NAME:TAG")
        transport.check_reference(f"docker://{reference}")
        image = await self._compose(request)
        folder = Path(await asyncio.to_thread(tempfile.mkdtemp, dir=self._parts.paths.work, prefix="push-"))
        try:
            await asyncio.to_thread(write_layout, image, folder / "layout")
            await transport.send(folder / "layout", f"docker://{reference}")
        finally:
            await asyncio.shield(asyncio.to_thread(trees.remove, folder))
        return v.ImageView(digest=f"sha256:{image.digest}", size_bytes=image.size, reference=reference)

    async def disk(self, request: v.UpRequest, form: str) -> DiskImage:
        """In one of the formats of `build.disk.export`; or a function's zip, for AWS Lambda."""
        wanted = self._one(request)
        await self._exports.check([wanted], form)
        made = await self._parts.builder.build(wanted, _no_log)
        return await self._exports.file(made, wanted, form)

    async def _compose(self, request: v.UpRequest) -> Composed:
        wanted = self._one(request)
        await self._exports.check([wanted], IMAGE)
        made = await self._parts.builder.build(wanted, _no_log)
        return await self._exports.image(made, wanted)

    def _one(self, request: v.UpRequest) -> BuildRequest:
        requests = self._requests(request)
        if len(requests) != 1:
            raise UserError(f"cannot make one image of {len(requests)} services", "name one service")
        return requests[0]

    def _requests(self, request: v.UpRequest) -> list[BuildRequest]:
        app = read_app(request.spec)
        return [self._request(app, name, request) for name in chosen(app, request.services or list(app.services))]

    def _request(self, app: App, name: str, request: v.UpRequest) -> BuildRequest:
        """As `wish_of`, but for its secrets: nothing that is built has any."""
        spec = located(spec_of(app, name), Path(request.file).parent)
        row = self._parts.registry.services.get(f"{app.app}.{name}")
        given = request.overrides.get(name, {})
        check_overrides(name, given)
        pattern = overrides_for(row, given, request.reset, spec).get("pattern", spec.pattern)
        source = source_of(self._parts, spec, name, request)
        return BuildRequest(app.app, name, spec, source, str(pattern), request.rebuilt)


def _no_log(line: str) -> None:
    return
