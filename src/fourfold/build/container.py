"""Artifacts for containers: a tree, and the layers that it stands on.

What is installed for one interpreter and C library (Python, Node.js, Ruby) is installed in the base. What runs
anywhere (Java, Go, files, programs) is the tree of the process pattern, hard-linked: changing a service's pattern
builds it no second time.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from fourfold.build.bases.bases import Bases
from fourfold.build.bases.make import this_system
from fourfold.build.bases.systems import Recipe, System, base_host, recipe
from fourfold.build.command import run_argv
from fourfold.build.model import APP, BuildPlan, Host, Listing
from fourfold.build.oci import transport
from fourfold.build.oci.pull import resolve
from fourfold.build.standing import (
    DEBIAN,
    SCRATCH,
    Heard,
    dependencies,
    digest_of,
    has_steps,
    interpreter_of,
    is_inside,
    needed,
    with_path,
)  # fmt: skip
from fourfold.errors import UserError, WorldError
from fourfold.paths import Paths
from fourfold.spec.model import Service
from fourfold.store.files import trees
from fourfold.store.files.artifacts import Artifact, Artifacts, Image
from fourfold.store.files.images import Images, Record

if TYPE_CHECKING:
    from fourfold.build.build import BuildRequest

FORMAT = 1
"""Part of every container's digest: raise it when the same inputs are to give another artifact than before."""

IMAGES = 1000
"""Of which it is remembered what is in them; others are looked into again."""
_HEAD_BYTES = 1024**2
"""Of a program: where ELF has its table and the name of what loads it."""

Log = Callable[[str], None]


@dataclass(frozen=True)
class Ground:
    """What a container's tree is to stand on."""

    base: str
    host: Host
    """What is there, for the plan."""
    system: System | None = None
    """Of base `debian`."""
    record: Record | None = None
    """Of an image. A base is made once the plan says for which runtimes."""


class Trees(Protocol):
    """What the builder does for every pattern."""

    async def host(self) -> Host: ...

    async def read(self, request: BuildRequest, host: Host) -> tuple[Listing, BuildPlan]: ...

    async def build(self, request: BuildRequest, log: Log) -> Artifact: ...

    async def make(
        self,
        request: BuildRequest,
        host: Host,
        listing: Listing,
        plan: BuildPlan,
        log: Log,
        image: Image | None = None,
        root: Sequence[Path] = (),
    ) -> Artifact: ...

    async def look(self, request: BuildRequest, name: str, root: Sequence[Path]) -> Host:
        """What is in another root than the host's."""
        ...

    async def dockerfile(self, request: BuildRequest, images: Images, log: Log) -> Record:
        """What the service's own Dockerfile gives."""
        ...

    async def require_dockerfile(self, request: BuildRequest) -> None: ...

    async def require_isolation(self, request: BuildRequest, plan: BuildPlan, inside: bool = False) -> None: ...

    def lock(self, name: str) -> AbstractAsyncContextManager[None]: ...


class Containers:
    def __init__(self, paths: Paths, images: Images, bases: Bases, artifacts: Artifacts, trees: Trees) -> None:
        self._work = paths.work
        self._images = images
        self._bases = bases
        self._artifacts = artifacts
        self._trees = trees
        self._looked: OrderedDict[str, Host] = OrderedDict()
        """Digest of an image -> what is in it."""
        self._fresh: dict[str, str] = {}
        """Reference -> the operation that it was last fetched anew for."""
        self._compiling: set[str] = set()
        """Services that needed compilers the last time: they are not tried without."""

    async def plan(self, request: BuildRequest) -> BuildPlan:
        """Raises UserError for what cannot be, as far as can be said without fetching anything."""
        service = request.spec
        if service.image is not None:
            transport.check_reference(service.image)
            return _as_said(service)
        if service.container.dockerfile is not None:
            await self._trees.require_dockerfile(request)
            return _as_said(service)
        base = service.container.base
        if base not in (DEBIAN, SCRATCH):
            transport.check_reference(base)
            record = self._images.records.get(base)
            if record is None or record.digest not in self._looked:
                return BuildPlan(notes=(f"The base {base} is fetched before it can be said how to build.",))
        ground = await self._ground(request, lambda line: None)
        _, plan = await self._read(request, ground)
        host = await self._trees.host()
        if ground.system is not None:
            self._bases.require(_recipe(ground.system, plan, host))
        inside = is_inside(plan, ground.base, host)
        if has_steps(plan) and not inside:
            await self._trees.read(_on_host(request), host)
        await self._trees.require_isolation(request, plan, inside)
        return plan

    async def build(self, request: BuildRequest, log: Log) -> Artifact:
        """Raises UserError when it cannot be, WorldError when something could not be fetched or built."""
        if (reference := request.spec.image) is not None:
            record = await self._resolve(reference, request.fresh, log)
            return await self._ready(request, record)
        if request.spec.container.dockerfile is not None:
            return await self._ready(request, await self._trees.dockerfile(request, self._images, log))
        ground = await self._ground(request, log)
        listing, plan = await self._read(request, ground)
        record = ground.record or await self._base(ground, plan, log, request.fresh)
        image = replace(record.image, user="", cwd=APP, dependencies=dependencies(plan))
        plan = replace(plan, env=with_path(plan.env, image))
        if has_steps(plan) and not is_inside(plan, ground.base, await self._trees.host()):
            process = await self._trees.build(_on_host(request), log)
            artifact = await self._around(request, process, plan, image, record.digest)
        else:
            artifact = await self._inside(request, ground, listing, plan, image, record, log)
        if ground.base == SCRATCH:
            await asyncio.to_thread(_require_static, request.service, artifact)
        return artifact

    async def recipe(self, request: BuildRequest) -> Recipe:
        """Of the base `debian`: with all that its program calls, not only what it is written in."""
        ground = await self._ground(request, lambda line: None)
        assert ground.system is not None
        _, plan = await self._read(request, ground)
        return _recipe(ground.system, plan, await self._trees.host())

    async def _ground(self, request: BuildRequest, log: Log) -> Ground:
        base, host = request.spec.container.base, await self._trees.host()
        if base == DEBIAN:
            system = this_system()
            return Ground(base, base_host(system, host), system)
        if base == SCRATCH:
            go = {name: each for name, each in host.runtimes.items() if name == "go"}
            own = replace(host, runtimes=go, defaults={}, place="the base scratch")
            return Ground(base, own, record=Record("scratch", "scratch", Image(layers=())))
        record = await self._resolve(base, request.fresh, log)
        if (there := self._looked.get(record.digest)) is None:
            layers = [self._images.folder(digest) for digest in record.image.layers]
            there = self._looked[record.digest] = await self._trees.look(request, base, layers)
            if len(self._looked) > IMAGES:
                self._looked.popitem(last=False)
        return Ground(base, there, record=record)

    async def _resolve(self, reference: str, fresh: str, log: Log) -> Record:
        """Fetched once, however many services name it; anew once for each word `fresh`."""
        async with self._trees.lock(f"image {reference}"):
            anew = bool(fresh) and self._fresh.get(reference) != fresh
            record = await resolve(reference, self._images, self._work, log, fresh=anew)
            if anew:
                self._fresh[reference] = fresh
            return record

    async def _read(self, request: BuildRequest, ground: Ground) -> tuple[Listing, BuildPlan]:
        listing, plan = await self._trees.read(request, ground.host)
        if ground.base == SCRATCH and plan.argv and not plan.argv[0].startswith(f"{APP}/"):
            raise UserError(
                f"cannot run {request.service} on the base scratch: it has no {plan.argv[0]}",
                "name a program of the source as a list, `run: [/app/server, --fast]`, or use `base: debian`",
            )
        return listing, plan

    async def _base(self, ground: Ground, plan: BuildPlan, log: Log, fresh: str, building: bool = False) -> Record:
        assert ground.system is not None
        wanted = _recipe(ground.system, plan, await self._trees.host(), building)
        return await self._bases.get(wanted, ground.host.tools.get("uv"), log, fresh)

    async def _inside(
        self,
        request: BuildRequest,
        ground: Ground,
        listing: Listing,
        plan: BuildPlan,
        image: Image,
        record: Record,
        log: Log,
    ) -> Artifact:
        """The tree made in its base; once more with compilers when it turned out that it needs them."""
        host = replace(ground.host, abi=f"container {FORMAT} {record.digest}")
        heard = Heard(log)
        root = self._folders(record) if has_steps(plan) else []
        if not root or request.scope not in self._compiling:
            try:
                return await self._trees.make(request, host, listing, plan, heard, image, root)
            except WorldError:
                if ground.system is None or not heard.needs_compilers:
                    raise
                log("The build needs compilers: once more, with them beside the base.")
                self._compiling.add(request.scope)
        bigger = await self._base(ground, plan, log, request.fresh, building=True)
        return await self._trees.make(request, host, listing, plan, log, image, self._folders(bigger))

    def _folders(self, record: Record) -> list[Path]:
        return [self._images.folder(digest) for digest in record.image.layers]

    async def _around(
        self, request: BuildRequest, process: Artifact, plan: BuildPlan, image: Image, base: str
    ) -> Artifact:
        """The tree of a process with what its base changes: where its runtime is."""
        facts = [FORMAT, process.digest, base, dict(plan.env), plan.runtime and plan.runtime.path]
        argv = plan.argv or process.argv
        if plan.argv is None and plan.runtime is not None:
            argv = (plan.runtime.path, *process.argv[1:])
        runtime = plan.runtime.name if plan.runtime else None
        made = replace(process, digest=digest_of(facts), argv=argv, env=plan.env, runtime=runtime, image=image)
        made = replace(made, function=plan.function)
        return await self.publish(made, process.tree)

    async def _ready(self, request: BuildRequest, record: Record) -> Artifact:
        """An image with all in it: the tree at /app is empty."""
        argv = run_argv(request.spec.run) if request.spec.run else record.argv
        if not argv:
            raise UserError(
                f"cannot run {request.service}: its image has neither Entrypoint nor Cmd", "say it in `run`"
            )
        facts = [FORMAT, record.digest, list(record.image.layers), dict(record.image.env)]
        return await self.publish(Artifact(digest_of(facts), Path(), argv, image=record.image), None)

    async def publish(self, artifact: Artifact, tree: Path | None) -> Artifact:
        """`artifact` with a tree that is `tree` hard-linked, or empty."""
        async with self._trees.lock(artifact.digest):
            found = self._artifacts.find(artifact.digest)
            if found is None:
                found = await asyncio.to_thread(self._link, artifact, tree)
        return replace(found, argv=artifact.argv)

    def _link(self, artifact: Artifact, tree: Path | None) -> Artifact:
        self._work.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=self._work, prefix="container-"))
        try:
            if tree is None:
                (folder / "tree").mkdir()
            else:
                trees.copy(tree, folder / "tree", link=True)
            trees.seal(folder / "tree", (0, 0) if os.geteuid() == 0 else None)
            return self._artifacts.publish(replace(artifact, tree=folder / "tree"))
        finally:
            trees.remove(folder)


def _on_host(request: BuildRequest) -> BuildRequest:
    """The same tree for this host."""
    if request.pattern != "function":
        return replace(request, pattern="process")
    said = request.spec.function.model_copy(update={"isolation": "namespace"})
    return replace(request, spec=request.spec.model_copy(update={"function": said}))


def _as_said(service: Service) -> BuildPlan:
    """The image says how to run what is in it, unless the service does."""
    return BuildPlan(argv=run_argv(service.run) if service.run else None)


def _recipe(system: System, plan: BuildPlan, host: Host, building: bool = False) -> Recipe:
    return recipe(system, (runtime.name for runtime in needed(plan, host)), building)


def _require_static(service: str, artifact: Artifact) -> None:
    """Raises UserError for a program that the base scratch has nothing to load with."""
    place = artifact.tree / artifact.argv[0].removeprefix(f"{APP}/")
    if place.is_symlink() or not place.is_file():
        raise UserError(f"cannot run {service}: {artifact.argv[0]} is not a file of what was built", "look at `run`")
    with place.open("rb") as program:
        loader = interpreter_of(program.read(_HEAD_BYTES))
    if loader is not None:
        raise UserError(
            f"cannot run {service} on the base scratch: {artifact.argv[0]} needs {loader}, which is not there",
            "link it statically, or use `base: debian`",
        )
