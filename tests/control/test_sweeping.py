"""Nobody has to ask for garbage to be collected; and nobody's cache goes while it is built with."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from fourfold.control.journals import Journals
from fourfold.control.operations import Operations
from fourfold.control.sweeping import Sweeper
from fourfold.store.artifacts import Artifacts
from fourfold.store.blobs import Blobs
from fourfold.store.sources import Sources
from tests.control.rig import Rig, eventually, rigged
from tests.store.samples import release


@dataclass
class FakeOperations:
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    at_work: bool = False
    apps: set[str] = field(default_factory=set)

    def busy(self, app: str) -> bool:
        return app in self.apps


def sweeper(rig: Rig, operations: FakeOperations) -> Sweeper:
    blobs = Blobs(rig.paths)
    return Sweeper(
        rig.paths, rig.registry, Artifacts(rig.paths), Sources(rig.paths, blobs), blobs,
        cast(Operations, operations), rig.clock, lambda: (), Journals(rig.paths), quiet=0.0,
    )  # fmt: skip


def add_releases(rig: Rig, count: int) -> None:
    newest = rig.store.releases.next_number("shop", "web")
    with rig.registry.transaction():
        for number in range(newest, newest + count):
            rig.registry.add_release(release("web", number))


def numbers(rig: Rig) -> list[int]:
    return [row.number for row in rig.store.releases.of("shop", "web")]


async def until_collected(rig: Rig, kept: list[int]) -> None:
    await eventually(lambda: numbers(rig) == kept)


@rigged
async def test_it_is_collected_after_operations(rig: Rig) -> None:
    """At the start too, and not while one is at work."""
    operations = FakeOperations()
    running = asyncio.create_task(sweeper(rig, operations).run())
    add_releases(rig, 7)
    await until_collected(rig, [8, 7, 6, 5, 4, 1])  # the service is on 1

    operations.at_work = True
    add_releases(rig, 1)
    operations.ended.set()
    await eventually(lambda: not operations.ended.is_set())
    assert numbers(rig) == [9, 8, 7, 6, 5, 4, 1]
    operations.at_work = False
    operations.ended.set()
    await until_collected(rig, [9, 8, 7, 6, 5, 1])
    running.cancel()


@rigged
async def test_a_collection_that_fails_is_not_the_last(rig: Rig) -> None:
    operations = FakeOperations()
    end = rig.refuse_commits()
    running = asyncio.create_task(sweeper(rig, operations).run())
    await eventually(lambda: rig.refused > 0)
    end()
    add_releases(rig, 7)
    operations.ended.set()
    await until_collected(rig, [8, 7, 6, 5, 4, 1])
    running.cancel()


@rigged
async def test_what_is_remembered_of_a_release_goes_with_it(rig: Rig) -> None:
    """A purged app begins again with release 1, which is another one then."""
    add_releases(rig, 7)
    rig.registry.spec("shop.web", 1)
    assert ("shop.web", 1) in rig.registry._specs
    rig.registry.forget_releases([("shop", "web", 1)])
    assert ("shop.web", 1) not in rig.registry._specs


@rigged
async def test_caches_of_services_that_are_gone(rig: Rig) -> None:
    """But not while somebody may be building a service that is no row yet."""
    for name in ("shop.web", "shop.gone", "blog.new"):
        add_cache(rig.paths.caches / name, age=2 * 3600, now=rig.clock.now())
    add_cache(rig.paths.caches / "shop.young", age=60, now=rig.clock.now())
    operations = FakeOperations(apps={"blog"})
    made = sweeper(rig, operations)
    view = await made.collect()
    assert view.removed["caches"] == 1 and view.freed_bytes > 0
    assert {path.name for path in rig.paths.caches.iterdir()} == {"shop.web", "shop.young", "blog.new"}
    operations.apps.clear()
    await made.collect()
    assert {path.name for path in rig.paths.caches.iterdir()} == {"shop.web", "shop.young"}
    assert not list(rig.paths.work.iterdir())


def add_cache(folder: Path, age: float, now: float) -> None:
    (folder / "layers").mkdir(parents=True)
    (folder / "layers" / "file").write_bytes(b"x" * 5000)
    for path in (folder / "layers", folder):
        os.utime(path, (now - age, now - age))
