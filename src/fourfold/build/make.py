"""One build, from the plan to the published artifact."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from fourfold.build import result
from fourfold.build.builders.java import JAR_FOLDERS, module_folders
from fourfold.build.function import check_unzipped
from fourfold.build.inspect import jar_headers, jar_main_class
from fourfold.build.kinds import osgi
from fourfold.build.layers import Kept, Layers, write_lock
from fourfold.build.model import APP, BuildPlan, Host, Layer, Listing, Step
from fourfold.build.sandbox import Box, Mode, Registry
from fourfold.build.steps import Output, run_step
from fourfold.build.workspace import hand_over, no_isolation, trim_cache, workspace
from fourfold.clock import Clock
from fourfold.errors import WorldError
from fourfold.store.files import trees
from fourfold.store.files.artifacts import Artifact, Artifacts, Image, Lock
from fourfold.store.files.blobs import Blobs
from fourfold.store.files.sources import write_tree
from fourfold.store.manifest import Manifest


@dataclass(frozen=True)
class BuildLimits:
    seconds: float = 15 * 60
    size: int = 2 * 1024**3
    """Bytes of the result; while building, the tree and the cache may be twice that."""
    at_once: int = 2
    free: int = 0
    """Bytes that stay free on the disk: see `store.room`."""


@dataclass(frozen=True)
class Workshop:
    """What builds of one service work with."""

    work: Path
    cache: Path
    layers: Path
    host: Host
    mode: Mode
    owner: tuple[int, int]
    """uid and gid of the build's user."""
    groups: tuple[str, ...]
    """Folders of the control groups that bound it."""
    registry: Registry
    limits: BuildLimits
    blobs: Blobs
    artifacts: Artifacts
    clock: Clock
    root: tuple[Path, ...] = ()
    """Layers of the system to build in, lowest first; none: the host's."""


@dataclass(frozen=True)
class Job:
    """What is to be made."""

    service: str
    source: str
    listing: Listing
    plan: BuildPlan
    layers: tuple[str, ...]
    """Keys of the plan's layers, in their order."""
    locks: tuple[str, ...]
    """Keys of their locks."""
    key: str
    fresh: bool = False
    """Neither layers nor locks of earlier builds are used."""
    image: Image | None = None
    """Of a container."""


async def make(shop: Workshop, job: Job, log: Callable[[str], None]) -> Artifact:
    """Build and publish. Raises WorldError naming the service; a build that fails or is cancelled leaves nothing."""
    plan = job.plan
    if (plan.layers or plan.steps) and shop.mode == "none":
        why, hint = no_isolation()
        log(f"WARNING: this build is not kept apart from this host: {why} ({hint}).")
        log("WARNING: what it runs, packages' own code too, can read and change what its user can.")
    steps = _Steps(shop, Output(log))
    try:
        async with workspace(
            shop.work, shop.cache, shop.host, shop.mode, shop.owner, shop.registry, shop.groups, shop.root
        ) as made:
            box = replace(made, path=plan.runtime.folders if plan.runtime else ())
            layers = Layers(shop.layers, link=os.geteuid() == 0 or not plan.steps)
            kept = [await _layer(shop, job, layers, place, box, steps) for place in range(len(plan.layers))]
            await asyncio.to_thread(_assemble, shop, job, layers, kept, box)
            await steps.run(plan.steps, box)
            locks = {key: each.lock for key, each in zip(job.locks, kept, strict=True) if each.lock is not None}
            return await asyncio.to_thread(_publish, shop, job, locks, box)
    except WorldError as error:
        raise WorldError(error.what.replace("cannot build:", f"cannot build {job.service}:", 1), error.hint) from error
    except OSError as error:
        raise WorldError(f"cannot build {job.service}: {error.strerror} ({error.filename})", "see `df`") from error
    finally:
        if plan.layers or plan.steps:
            await asyncio.to_thread(trim_cache, shop.cache, shop.limits.size)


class _Steps:
    """Steps one after the other, on one time budget."""

    def __init__(self, shop: Workshop, output: Output) -> None:
        self._limits = shop.limits
        self._output = output
        self._end = asyncio.get_running_loop().time() + shop.limits.seconds

    async def run(self, steps: tuple[Step, ...], box: Box) -> None:
        if not steps:
            return
        await asyncio.to_thread(hand_over, box)
        for step in steps:
            left = self._end - asyncio.get_running_loop().time()
            await run_step(step, box, self._output, left, self._limits.size, self._limits.free)

    def note(self, text: str) -> None:
        self._output.line(text)


async def _layer(shop: Workshop, job: Job, layers: Layers, place: int, box: Box, steps: _Steps) -> Kept:
    """One of the plan's layers: as kept from an earlier build, or built in a tree of its own, by its lock if any."""
    layer, key = job.plan.layers[place], job.layers[place]
    if not job.fresh and (found := layers.find(key)) is not None:
        return found
    own = replace(box, tree=box.tree.with_name("layer-tree"))
    lock = None if job.fresh else await asyncio.to_thread(shop.artifacts.lock, job.locks[place])
    await asyncio.to_thread(_write_layer_tree, shop, job, layer, lock, own.tree)
    if lock is not None:
        steps.note("Dependencies have not changed: using the versions of the last build.")
    await steps.run(layer.steps, own)
    await asyncio.to_thread(result.check, own.tree, shop.limits.size, job.plan.runtime)
    kept = await asyncio.to_thread(layers.keep, key, layer, own.tree, _store_owner())
    await asyncio.to_thread(trees.remove, own.tree)
    return kept


def _write_layer_tree(shop: Workshop, job: Job, layer: Layer, lock: Lock | None, tree: Path) -> None:
    manifest = job.listing.manifest
    if layer.files is not None:
        manifest = Manifest.of(job.listing.entries[name] for name in layer.files)
    write_tree(manifest, shop.blobs, tree, link=False)
    if lock is not None:
        write_lock(lock, tree)


def _assemble(shop: Workshop, job: Job, layers: Layers, kept: list[Kept], box: Box) -> None:
    """The whole tree. Files are linked to the store's, not copied, when no step can touch them."""
    write_tree(job.listing.manifest, shop.blobs, box.tree, link=not job.plan.steps)
    for layer, each in zip(job.plan.layers, kept, strict=True):
        layers.put(each, layer, box.tree)
    result.prepare(box.tree, job.plan)


def _publish(shop: Workshop, job: Job, locks: dict[str, Lock], box: Box) -> Artifact:
    result.finish(box.tree, job.plan)
    size = result.check(box.tree, shop.limits.size, job.plan.runtime)
    argv = job.plan.argv or (_jar_argv if job.plan.find_bundles is None else _bundles_argv)(job, box.tree)
    function = job.plan.function
    if function is not None:
        check_unzipped(box.tree)
        if job.plan.argv is None:  # the adapter's command line ends in what was found only now
            function = replace(function, argv=(*function.argv, *argv))
    trees.seal(box.tree, _store_owner())
    return shop.artifacts.publish(
        Artifact(
            digest=job.key,
            tree=box.tree,
            argv=argv,
            env=job.plan.env,
            runtime=job.plan.runtime.name if job.plan.runtime else None,
            source=job.source,
            locks=locks,
            size=size,
            built_at=shop.clock.now(),
            image=job.image,
            function=function,
        )
    )


def _jar_argv(job: Job, tree: Path) -> tuple[str, ...]:
    java = job.plan.runtime
    runnable = [jar for jar in result.jars(tree, JAR_FOLDERS) if jar_main_class(jar)]
    modules = [] if runnable else [jar for jar in result.jars(tree, module_folders(job.listing)) if jar_main_class(jar)]
    if len(modules) > 1:
        names = [str(jar.relative_to(tree)) for jar in modules]
        raise WorldError(
            f"cannot tell which JAR of {job.service} to run: {', '.join(names)}", f"say it: `run: java -jar {names[0]}`"
        )
    runnable += modules
    if java is None or not runnable:
        raise WorldError(
            f"cannot find what to run in what {job.service} built: no JAR with a Main-Class in "
            + ", ".join(folder or "the top" for folder in JAR_FOLDERS),
            "name the Main-Class in the JAR's manifest (`jar --create --main-class …`), or say `run`",
        )
    return (java.path, "-jar", f"{APP}/{runnable[0].relative_to(tree)}")


def _bundles_argv(job: Job, tree: Path) -> tuple[str, ...]:
    assert job.plan.find_bundles is not None
    jars = {jar.relative_to(tree).as_posix(): jar_headers(jar) for jar in result.jars(tree, osgi.FOLDERS)}
    found = osgi.sort(jars)
    if not found:
        raise WorldError(
            f"cannot find a bundle in what {job.service} built: no JAR with a Bundle-SymbolicName in "
            + ", ".join(folder or "the top" for folder in osgi.FOLDERS),
            "make it with bnd, or with `jar --create --manifest`",
        )
    if not job.plan.find_bundles:
        osgi.require_guests(found)
    return (*job.plan.find_bundles, *(f"{APP}/{each.path}" for each in found))


def _store_owner() -> tuple[int, int] | None:
    return (0, 0) if os.geteuid() == 0 else None
