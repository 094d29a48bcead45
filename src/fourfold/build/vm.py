"""Artifacts for virtual machines: what a container's would be, and the disks, kernel and initial file system to boot.

The tree is built exactly as for a container on the same base; only what stands under it differs. `minimal` is the base
`debian` of containers without all that running does not need; `debian` is a whole system with systemd and ssh; any
other base is an image. A function's sandboxes have that of containers as it is. After an edit only the disk of the tree
is made again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from fourfold.build.bases.bases import Bases
from fourfold.build.bases.make import this_system
from fourfold.build.bases.systems import Recipe
from fourfold.build.bases.whole import WholeSystem, whole_system
from fourfold.build.clients import RUNTIME
from fourfold.build.container import Containers, Trees
from fourfold.build.disk.erofs import BASE, TREE, DiskMaker, require_erofs, tool_version
from fourfold.build.disk.guest import GuestMaker, find_compiler
from fourfold.build.disk.initramfs import Initramfs
from fourfold.build.disk.kernel import Kernel, Kernels
from fourfold.build.disk.keys import disk_key
from fourfold.build.disk.prune import left_out
from fourfold.build.model import APP, BuildPlan
from fourfold.build.standing import DEBIAN, digest_of, interpreter_of
from fourfold.build.words import without_shell
from fourfold.errors import UserError
from fourfold.paths import Paths
from fourfold.spec.model import Container, Service
from fourfold.store.files.artifacts import Artifact, Boot, Function
from fourfold.store.files.disks import Disks
from fourfold.store.files.images import Images

if TYPE_CHECKING:
    from fourfold.build.build import BuildRequest

FORMAT = 2
"""Part of every virtual machine's digest: raise it when the same inputs are to give another artifact than before."""
MINIMAL = "minimal"
_HEAD_BYTES = 1024**2
_PORTABLE = b"#!/bin/sh\n'''exec' "
"""How a program of a Python package begins that is to run in any folder: a shell finds the interpreter beside it."""
_TASK, _OPT = "var/task", "opt"
_TASK_LINKS = {"app": _TASK, "var/runtime": f"task/{RUNTIME}"}
"""A function's code is at /app too, and its runtime's client where sandboxes have it."""
_SHELLS = frozenset({"sh", "bash", "dash", "ash", "zsh", "ksh", "busybox"})

Log = Callable[[str], None]


class Machines:
    def __init__(self, paths: Paths, images: Images, bases: Bases, containers: Containers, trees: Trees) -> None:
        self._images = images
        self._bases = bases
        self._containers = containers
        self._trees = trees
        self._disks = Disks(paths)
        self._maker = DiskMaker(paths, self._disks)
        self.kernels = Kernels(paths, bases, images, self._disks)
        self.initramfs = Initramfs(paths, self._disks)
        self._guest = GuestMaker(paths, self._disks)

    async def plan(self, request: BuildRequest) -> BuildPlan:
        """Raises UserError for what cannot be, as far as can be said without fetching anything."""
        require_erofs()
        self.kernels.require(this_system())
        await asyncio.to_thread(find_compiler)
        with _as_machines_say(request):
            plan = await self._containers.plan(_inner(request))
        if plan.argv and _base(request) == MINIMAL:
            _require_no_shell(request)
            return replace(plan, argv=without_shell(plan.argv, _known(request.spec, plan.env), request.service))
        return plan

    async def build(self, request: BuildRequest, log: Log) -> Artifact:
        """Raises UserError when it cannot be, WorldError when something could not be fetched or built."""
        with _as_machines_say(request):
            made = await self._containers.build(_inner(request), log)
        if _base(request) == MINIMAL:
            argv = without_shell(made.argv, _known(request.spec, made.env), request.service)
            made = replace(made, argv=argv)
            made = replace(made, argv=await asyncio.to_thread(by_interpreter, made))
            await asyncio.to_thread(_require_no_script, request.service, made)
        kernel, vmlinux, initrd, init = await self.kernel(log, request.fresh)
        if _base(request) == DEBIAN and request.pattern == "vm":
            made = await self._on_whole_system(request, made, kernel, log)
        disks = await self._disks_of(_base(request) == MINIMAL, made, log)
        if made.function is not None:
            disks += await self._layers_of(made, made.function)
        facts = ["vm", FORMAT, made.digest, vmlinux, initrd, list(disks)]
        booted = replace(made, digest=digest_of(facts), boot=Boot(vmlinux, initrd, disks, init))
        return await self._containers.publish(booted, made.tree)

    async def recipe(self, request: BuildRequest) -> Recipe:
        """What its base is to have, where that is one of this host's own packages."""
        return await self._containers.recipe(_inner(request))

    async def kernel(self, log: Log, fresh: str = "") -> tuple[Kernel, str, str, str]:
        """The kernel of this host's own machines, and the keys of its vmlinux, its initial file system and the init.

        `fresh` renews that of disks for elsewhere too, once one was made: what they boot gets old in the same way.
        """
        kernel = await self.kernels.get(this_system(), log, fresh=fresh)
        if fresh and self.kernels.known(this_system(), "full"):
            await self.kernels.get(this_system(), log, "full", fresh)
        init = await self.init()
        initrd = await self.initramfs.get(kernel, self._disks.path(init))
        return kernel, await self.kernels.vmlinux(kernel), initrd, init

    async def init(self) -> str:
        """Key of the program that a guest runs first."""
        return await asyncio.to_thread(self._guest.get)

    async def _on_whole_system(self, request: BuildRequest, made: Artifact, kernel: Kernel, log: Log) -> Artifact:
        assert made.image is not None
        wanted = WholeSystem(await self.recipe(request), kernel.root, kernel.digest)
        uv = (await self._trees.host()).tools.get("uv")
        layer = await whole_system(self._bases, wanted, uv, log, request.fresh)
        return replace(made, image=replace(made.image, layers=(layer,)))

    async def _disks_of(self, minimal: bool, made: Artifact, log: Log) -> tuple[str, ...]:
        """Lowest first: the base, and the tree where there is one."""
        assert made.image is not None
        layers = made.image.layers
        tool = await asyncio.to_thread(tool_version)
        disks = []
        if minimal:
            excluded = await asyncio.to_thread(self._left_out, made)
            disks.append(disk_key("minimal", list(layers), excluded, tool, BASE.options))
            await self._once(disks[0], lambda: self._maker.layers(disks[0], self._folders(layers), excluded), log)
        elif layers:
            disks.append(disk_key("layers", list(layers), tool, BASE.options))
            await self._once(disks[0], lambda: self._maker.layers(disks[0], self._folders(layers)), log)
        if made.function is not None:
            own = disk_key("task", made.digest, tool, TREE.options, _TASK_LINKS)
            await self._once(own, lambda: self._maker.tree(own, made.tree, _TASK, _TASK_LINKS))
            disks.append(own)
        elif made.source:
            own = disk_key("tree", made.digest, tool, TREE.options)
            await self._once(own, lambda: self._maker.tree(own, made.tree))
            disks.append(own)
        return tuple(disks)

    async def _layers_of(self, made: Artifact, function: Function) -> tuple[str, ...]:
        """Of a function: a disk each, which the guest shows over each other at /opt."""
        tool = await asyncio.to_thread(tool_version)
        disks = []
        for layer in function.layers:
            key = disk_key("layer", made.digest, layer, tool, TREE.options)
            await self._once(key, partial(self._maker.tree, key, made.tree / layer, _OPT))
            disks.append(key)
        return tuple(disks)

    def _left_out(self, made: Artifact) -> list[str]:
        assert made.image is not None
        return left_out(self._folders(made.image.layers)[0], bare=_is_static(made))

    def _folders(self, layers: tuple[str, ...]) -> list[Path]:
        return [self._images.folder(digest) for digest in layers]

    async def _once(self, key: str, make: Callable[[], None], log: Log | None = None) -> None:
        """Made by one who asks; others wait."""
        async with self._trees.lock(f"disk {key}"):
            if await asyncio.to_thread(self._disks.has, key):
                return
            if log is not None:
                log("Making the disk of the base, once for all services on it.")
            await asyncio.shield(asyncio.to_thread(make))


@contextmanager
def _as_machines_say(request: BuildRequest) -> Iterator[None]:
    """What is to be mended is in the block `vm`, not in that of containers."""
    try:
        yield
    except UserError as error:
        if request.pattern != "vm" or error.hint is None:
            raise
        hint = error.hint.replace("container: {base", "vm: {base").replace("`container.base`", "`vm.base`")
        raise UserError(error.what, hint) from error


def _base(request: BuildRequest) -> str:
    """What its root is made of; `image` for one that is a container's anyway."""
    if request.pattern == "function":
        return DEBIAN
    if request.spec.image is not None:
        return "image"
    if request.pattern == "container":
        return "image" if request.spec.container.dockerfile else request.spec.container.base
    return request.spec.vm.base


def _inner(request: BuildRequest) -> BuildRequest:
    """The container to begin with."""
    spec = request.spec
    if request.pattern == "function":
        return replace(request, spec=spec.model_copy(update={"container": Container(base=DEBIAN)}))
    if request.pattern == "vm":
        base = DEBIAN if spec.vm.base == MINIMAL else spec.vm.base
        spec = spec.model_copy(update={"container": Container(base=base)})
    else:
        spec = spec.model_copy(update={"container": spec.container.model_copy(update={"isolation": "namespace"})})
    return replace(request, pattern="container", spec=spec)


def _known(spec: Service, env: Mapping[str, str]) -> dict[str, str]:
    """Variables of the program that are known when it is built: all but secrets and addresses of others."""
    known = {**env, **spec.env, "HOST": "0.0.0.0"}
    return known if spec.own_port is None else {**known, "PORT": str(spec.own_port)}


def _is_static(made: Artifact) -> bool:
    """Whether it is one program that needs no C library."""
    place = _in_tree(made)
    if made.runtime is not None or place is None:
        return False
    with place.open("rb") as program:
        return interpreter_of(program.read(_HEAD_BYTES)) is None


def _require_no_shell(request: BuildRequest) -> None:
    """Raises UserError for commands that the instance is asked to run by a shell."""
    health = request.spec.health
    commands = {
        "health.command": health and health.command,
        "health.live.command": health and health.live and health.live.command,
        "deploy.before": request.spec.deploy.before,
    }
    for key, command in commands.items():
        if isinstance(command, str):
            raise UserError(
                f"cannot run `{key}` of {request.service} on the base minimal: it has no shell",
                "write it as a list of a program and its words, or use `vm: {base: debian}`",
            )


def _require_no_script(service: str, made: Artifact) -> None:
    """Raises UserError when what is to run is a script of the source for a shell."""
    place = _in_tree(made)
    if place is None:
        return
    with place.open("rb") as program:
        first = program.readline(256)
    words = first.removeprefix(b"#!").decode(errors="replace").split() if first.startswith(b"#!") else []
    if words and words[-1 if words[0].endswith("/env") else 0].rpartition("/")[2] in _SHELLS:
        raise UserError(
            f"cannot run {service} on the base minimal: {made.argv[0]} is a script for a shell, and it has none",
            "run the program itself, or use `vm: {base: debian}`",
        )


def by_interpreter(made: Artifact) -> tuple[str, ...]:
    """Its argv where no shell reads scripts: programs of Python packages are such, and Python too (`_PORTABLE`)."""
    place = _in_tree(made)
    if place is None:
        return made.argv
    with place.open("rb") as program:
        if program.read(len(_PORTABLE)) != _PORTABLE:
            return made.argv
    path = f"{APP}/{place.relative_to(made.tree)}"
    return (f"{path.rpartition('/')[0]}/python", path, *made.argv[1:])


def _in_tree(made: Artifact) -> Path | None:
    """The file of the tree that is run, if it is one."""
    name = made.argv[0]
    folders = made.env.get("PATH", "").split(":")
    for path in [name] if "/" in name else [f"{folder}/{name}" for folder in folders if folder]:
        place = made.tree / path.removeprefix(f"{APP}/").removeprefix("./")
        if path.startswith((f"{APP}/", "./")) and place.is_file() and not place.is_symlink():
            return place
    return None
