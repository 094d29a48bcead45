"""Source -> artifact: find out how, take it from the store if it is there, else build it in a sandbox."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from fourfold.build.bases.look import look
from fourfold.build.detect import detect
from fourfold.build.function import as_function, as_server, check_zipped, is_handled
from fourfold.build.functionlayers import with_layers
from fourfold.build.group import as_alone, as_group, as_guest
from fourfold.build.host import find_host, stamp
from fourfold.build.inspect import listing_of
from fourfold.build.layers import layer_key, lock_key
from fourfold.build.make import BuildLimits, Job, Workshop, make
from fourfold.build.model import BuildPlan, Host, Listing
from fourfold.build.registry import find_registry
from fourfold.build.sandbox import Mode, Registry
from fourfold.build.unpack import unpack
from fourfold.build.workspace import find_mode, no_isolation, workspace
from fourfold.clock import Clock
from fourfold.errors import NotFoundError, UserError
from fourfold.paths import Paths
from fourfold.spec.groups import GROUP
from fourfold.spec.model import Service
from fourfold.store.files.artifacts import Artifact, Artifacts, Image
from fourfold.store.files.blobs import Blobs
from fourfold.store.files.images import Images, Record
from fourfold.store.files.sources import Sources
from fourfold.store.manifest import Entry, Manifest
from fourfold.store.room import require_room

if TYPE_CHECKING:  # what only containers and machines need is imported for the first: every daemon would start later
    from fourfold.build.bases.bases import Bases
    from fourfold.build.container import Containers
    from fourfold.build.oci.dockerfile import Recipe
    from fourfold.build.vm import Machines

FORMAT = 1
"""Part of every build key: raise it when the same plan is to give other bytes than before."""
BUILD_UID = 799_999
"""Whom builds run as under root: the last of the default range, where no service is put."""

ZIPS = 10_000
"""Of which it is remembered what is in them; others are unpacked again."""

Confine = Callable[[], AbstractAsyncContextManager[tuple[str, ...]]]
"""Makes control groups for one build and gives their folders; at the end nobody is left in them."""


def unconfined() -> AbstractAsyncContextManager[tuple[str, ...]]:
    return nullcontext(())


@dataclass(frozen=True)
class BuildRequest:
    app: str
    service: str
    spec: Service
    source: str
    """Digest of the source's manifest; the manifest and its blobs are in the store."""
    pattern: str = "process"
    """`process`: a tree for this host; `container`: a tree for the base, and its image; `vm`: the same, and disks;
    `function`: a tree for this host, with what starts sandboxes; those that are machines have disks too; `group`: the
    host program of a group; `shared`: a tree that one takes in."""
    fresh: str = ""
    """Not empty: built anew, and what it depends on resolved anew. Part of the artifact's digest."""
    apart: str = ""
    """Not empty: nothing is taken that was built for others, though it be the same. Part of the artifact's digest."""
    owner: str = ""
    """Not empty: what is kept from build to build is theirs alone, whatever app and service are called."""

    @property
    def scope(self) -> str:
        """Name of the caches."""
        return f"{self.owner}.{self.app}.{self.service}" if self.owner else f"{self.app}.{self.service}"

    @property
    def is_machine(self) -> bool:
        """Whether what is built is booted: pattern vm, containers and sandboxes with a kernel of their own."""
        if self.pattern == "function":
            return self.spec.function.isolation == "vm"
        return self.pattern == "vm" or (self.pattern == "container" and self.spec.container.isolation == "vm")


class Builder:
    """Builds for one daemon. What is in the store already takes milliseconds and no sandbox."""

    def __init__(
        self,
        paths: Paths,
        clock: Clock,
        *,
        host: Host | None = None,
        uid: int = BUILD_UID,
        limits: BuildLimits | None = None,
        confine: Confine = unconfined,
        unisolated: bool = False,
    ) -> None:
        """`unisolated`: as root, build even where builds cannot be kept apart from the host."""
        self._paths = paths
        self._clock = clock
        self._blobs = Blobs(paths)
        self._sources = Sources(paths, self._blobs)
        self._artifacts = Artifacts(paths)
        self._zips: OrderedDict[tuple[str, bool], str] = OrderedDict()
        """Digest of a zip, and whether its one folder is taken off -> digest of the source in it."""
        self._given = host
        self._found: tuple[tuple[int, ...], Host] | None = None
        self._mode: Mode = "none"
        self._limits = limits or BuildLimits()
        self._confine = confine
        self._unisolated = unisolated
        self._root = os.geteuid() == 0
        self._owner = (uid, uid) if self._root else (os.getuid(), os.getgid())
        self._slots = asyncio.Semaphore(self._limits.at_once)
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()

    @cached_property
    def _bases(self) -> Bases:
        from fourfold.build.bases.bases import Bases

        return Bases(self._paths, self._clock, Images(self._paths))

    @cached_property
    def _containers(self) -> Containers:
        from fourfold.build.container import Containers

        return Containers(self._paths, Images(self._paths), self._bases, self._artifacts, self)

    @cached_property
    def machines(self) -> Machines:
        from fourfold.build.vm import Machines

        return Machines(self._paths, Images(self._paths), self._bases, self._containers, self)

    async def build(self, request: BuildRequest, log: Callable[[str], None]) -> Artifact:
        """The artifact of `request`, built if need be; `log` gets what the build prints, line by line.

        Raises UserError when the source or the spec cannot be built on this host (found out before anything runs) and
        WorldError when a step fails, takes too long, or makes what cannot be used.
        """
        if request.is_machine:
            return await self.machines.build(request, log)
        if request.pattern == "container":
            return await self._containers.build(request, log)
        host = await self.host()
        listing, plan = await self.read(request, host)
        return await self.make(request, host, listing, plan, log)

    async def make(
        self,
        request: BuildRequest,
        host: Host,
        listing: Listing,
        plan: BuildPlan,
        log: Callable[[str], None],
        image: Image | None = None,
        root: Sequence[Path] = (),
    ) -> Artifact:
        """What `plan` says, in the host's own root or in that of the layers `root`, lowest first."""
        layers = [layer_key(layer, listing, host, plan.runtime, request.scope) for layer in plan.layers]
        key = build_key(request.source, plan, layers, host, request.fresh, request.apart)
        async with AsyncExitStack() as held:
            # One build per key, and one per service: its cache is for one at a time.
            for name in (key, request.scope) if plan.layers or plan.steps else (key,):
                await held.enter_async_context(self.lock(name))
            found = await asyncio.to_thread(self._artifacts.find, key)
            if found is not None:
                return replace(found, argv=plan.argv or found.argv)
            await self.require_isolation(request, plan, inside=bool(root))
            what = f"build {request.service}"
            await asyncio.to_thread(require_room, self._paths.state, self._limits.free, what)
            for note in plan.notes:
                log(note)
            groups: tuple[str, ...] = ()
            if plan.layers or plan.steps:
                await held.enter_async_context(self._slots)
                groups = await held.enter_async_context(self._confine())
            shop = await self._workshop(host, request, groups, isolate=bool(plan.layers or plan.steps))
            shop = replace(shop, root=tuple(root))
            locks = tuple(lock_key(layer, listing, plan.runtime, request.scope) for layer in plan.layers)
            fresh = bool(request.fresh)
            job = Job(request.service, request.source, listing, plan, tuple(layers), locks, key, fresh, image)
            return await make(shop, job, log)

    async def plan(self, request: BuildRequest) -> BuildPlan:
        """How it would be built, without building: for `fourfold plan` and `validate`. Raises UserError as `build`."""
        if request.is_machine:
            return await self.machines.plan(request)
        if request.pattern == "container":
            return await self._containers.plan(request)
        _, plan = await self.read(request, await self.host())
        await self.require_isolation(request, plan)
        return plan

    async def look(self, request: BuildRequest, name: str, root: Sequence[Path]) -> Host:
        """What the image `name` has to build with and run on; its layers are `root`."""
        await self.require_isolation(request, None, inside=True)
        host = await self.host()
        async with self._confine() as groups:
            shop = await self._workshop(host, request, groups, isolate=True)
            async with workspace(shop.work, shop.cache, host, shop.mode, shop.owner, Registry(), groups, root) as box:
                await asyncio.to_thread(box.tree.mkdir)
                return await look(box, name, host)

    async def isolation(self) -> Mode:
        """How builds are kept apart from the host; asked again while they are not, since that can be mended."""
        if self._mode == "none":
            self._mode = await asyncio.to_thread(find_mode, os.geteuid())
        return self._mode

    async def dockerfile(self, request: BuildRequest, images: Images, log: Callable[[str], None]) -> Record:
        """What the service's own Dockerfile gives. Raises UserError and WorldError."""
        from fourfold.build.oci.dockerfile import dockerfile_image

        async with AsyncExitStack() as held:
            await held.enter_async_context(self.lock(request.scope))
            await held.enter_async_context(self._slots)
            groups = await held.enter_async_context(self._confine())
            recipe = replace(self._dockerfile(request), groups=groups)
            work, fresh = self._paths.work, bool(request.fresh)
            return await dockerfile_image(recipe, images, self._sources, work, log, fresh=fresh)

    async def require_dockerfile(self, request: BuildRequest) -> None:
        """Raises UserError where the source has none, or nothing here can build it."""
        from fourfold.build.oci.dockerfile import check_dockerfile, find_tool

        recipe = self._dockerfile(request)
        check_dockerfile(recipe, await asyncio.to_thread(self._sources.get, request.source))
        await asyncio.to_thread(find_tool, recipe)

    def _dockerfile(self, request: BuildRequest) -> Recipe:
        from fourfold.build.oci.dockerfile import Recipe

        storage = self._paths.caches / request.scope / "buildah"
        name = request.spec.container.dockerfile or "Dockerfile"
        return Recipe(request.service, request.source, name, storage, request.app, seconds=self._limits.seconds)

    async def require_isolation(self, request: BuildRequest, plan: BuildPlan | None, inside: bool = False) -> None:
        """As root, code of others would run on the bare host. A user's builds run with what is that user's anyway.

        `inside`: in another root than the host's, which cannot be had without. Raises UserError.
        """
        if plan is not None and not (plan.layers or plan.steps):
            return
        if not inside and (not self._root or self._unisolated):
            return
        if await self.isolation() == "none":
            why, hint = no_isolation()
            if inside:
                raise UserError(f"cannot build {request.service} in another system than this host's: {why}", hint)
            hint += ", or set `unisolated_builds = true` in fourfold.toml to build all the same"
            raise UserError(f"cannot build {request.service} apart from this host: {why}", hint)

    async def host(self) -> Host:
        """Looked for again when something was installed meanwhile."""
        if self._given is not None:
            return self._given
        now = stamp(os.environ)
        if self._found is None or self._found[0] != now:
            self._found = (now, await asyncio.to_thread(find_host, os.environ))
        return self._found[1]

    async def read(self, request: BuildRequest, host: Host) -> tuple[Listing, BuildPlan]:
        """The source and how to build it with what `host` has. Raises UserError."""
        return await asyncio.to_thread(self._read, request, host)

    def _read(self, request: BuildRequest, host: Host) -> tuple[Listing, BuildPlan]:
        manifest = self._sources.get(request.source)
        if len(manifest.entries) == 1 and manifest.entries[0].path.lower().endswith(".zip"):
            if request.pattern == "function":
                check_zipped(manifest.entries[0].path, manifest.entries[0].size)
            manifest = self._unpacked(manifest.entries[0], strip=request.spec.function.handler is None)
        try:
            grouped = request.pattern in (GROUP, "shared")
            handled = is_handled(request.spec) and not grouped
            if request.pattern == "function" or handled:
                manifest = with_layers(manifest, request.spec.function.layers, self._unpacked)
                self._sources.put(manifest)
            listing = listing_of(manifest, self._blobs)
            if request.pattern == "function":
                return listing, as_function(listing, request.spec, host)
            if request.pattern == GROUP:
                return listing, as_group(request.spec, host)
            if grouped:
                return listing, as_guest(listing, request.spec, host)
            if not handled and (plan := as_alone(listing, request.spec, host)) is not None:
                return listing, plan
            return listing, (as_server if handled else detect)(listing, request.spec, host)
        except UserError as error:
            raise type(error)(f"{request.service}: {error.what}", error.hint) from None

    def _unpacked(self, entry: Entry, strip: bool = False) -> Manifest:
        """What is in a zip; unpacked once. It is kept as a source, so that gc leaves it until it is built."""
        if (known := self._zips.get((entry.sha256, strip))) is not None:
            with suppress(NotFoundError):
                manifest = self._sources.get(known)
                if not self._sources.offer(manifest)[1]:
                    return manifest
        manifest = unpack(self._blobs.path(entry.sha256), entry.path, self._blobs, strip)
        self._zips[entry.sha256, strip] = self._sources.put(manifest)
        if len(self._zips) > ZIPS:
            self._zips.popitem(last=False)
        return manifest

    async def _workshop(self, host: Host, request: BuildRequest, groups: tuple[str, ...], isolate: bool) -> Workshop:
        folder = self._paths.caches / request.scope
        return Workshop(
            work=self._paths.work,
            cache=folder / "downloads",
            layers=folder / "layers",
            host=host if isolate else replace(host, tools={}),  # nothing is run
            mode=await self.isolation() if isolate else "none",
            owner=self._owner,
            groups=groups,
            registry=find_registry(os.environ, Path(os.environ.get("HOME", "/nonexistent"))),
            limits=self._limits,
            blobs=self._blobs,
            artifacts=self._artifacts,
            clock=self._clock,
        )

    def lock(self, name: str) -> asyncio.Lock:
        return self._locks.setdefault(name, asyncio.Lock())


def build_key(source: str, plan: BuildPlan, layers: Sequence[str], host: Host, fresh: str = "", apart: str = "") -> str:
    """The artifact's digest: SHA-256 over everything that decides its bytes."""
    facts = {"format": FORMAT, "source": source, "plan": plan.identity(), "layers": list(layers), "abi": host.abi}
    facts |= {"fresh": fresh} if fresh else {}
    facts |= {"apart": apart} if apart else {}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
