"""Nobody has to ask for garbage to be collected; and nobody's cache goes while it is built with."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

from fourfold.control.costing.journals import Journals
from fourfold.control.operations import Operations
from fourfold.control.sweeping import Sweeper, _Logs
from fourfold.store.files.artifacts import Artifact, Artifacts
from fourfold.store.files.bakery import BakeryFiles
from fourfold.store.files.blobs import Blobs
from fourfold.store.files.sources import Sources
from fourfold.store.garbage.quotas import Quotas
from fourfold.store.tables.bakes import Bake
from tests.control.rig import Rig, eventually, rigged
from tests.store.samples import build, release


@dataclass
class FakeOperations:
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    at_work: bool = False
    apps: set[str] = field(default_factory=set)

    def busy(self, app: str) -> bool:
        return app in self.apps


def sweeper(rig: Rig, operations: FakeOperations, quotas: Quotas | None = None) -> Sweeper:
    blobs = Blobs(rig.paths)
    return Sweeper(
        rig.paths, rig.registry, Artifacts(rig.paths), Sources(rig.paths, blobs), blobs,
        cast(Operations, operations), rig.clock, lambda: (), Journals(rig.paths), quiet=0.0, quotas=quotas,
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


def test_a_log_that_a_start_removes_meanwhile(tmp_path: Path) -> None:
    folder = tmp_path / "shop" / "web"
    folder.mkdir(parents=True)
    for name in ("a.1.log", "b.1.log"):
        (folder / name).touch()
    shelf = _Logs(tmp_path)
    listed = iter(shelf.list())
    first = next(listed).digest
    for path in folder.iterdir():
        path.unlink()
    assert not list(listed) and shelf.remove(first) == 0


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


DAY = 86_400.0


@rigged
async def test_with_too_many_artifacts_those_of_old_releases_go(rig: Rig) -> None:
    """Their releases stay: a rollback builds again. What the service runs stays, however much it is."""
    add_releases(rig, 3)
    artifacts = Artifacts(rig.paths)
    for number in range(1, 5):
        rig.store.builds.put(build("web", number, artifact=f"{number}" * 64))
        tree = rig.paths.work / "tree"
        tree.mkdir()
        artifacts.publish(Artifact(f"{number}" * 64, tree, ("x",), size=100))
        used_at = rig.clock.now() - 7200 + number
        os.utime(rig.paths.artifacts / (f"{number}" * 64) / "artifact.json", (used_at, used_at))

    def left() -> list[int]:
        return [int(each.digest[0]) for each in artifacts.list()]

    operations = FakeOperations()
    view = await sweeper(rig, operations, Quotas(artifact_bytes=400)).collect()
    assert left() == [1, 2, 3, 4] and view.kept["artifacts"] == 400
    view = await sweeper(rig, operations, Quotas(artifact_bytes=350)).collect()
    assert left() == [1, 3, 4] and view.removed["artifacts"] == 1
    view = await sweeper(rig, operations, Quotas(artifact_bytes=0)).collect()
    assert left() == [1] and view.kept["artifacts"] == 100
    assert numbers(rig) == [4, 3, 2, 1]


@rigged
async def test_with_too_many_logs_those_of_what_has_ended_go(rig: Rig) -> None:
    rig.add("shop.web-1-a", run=2)
    folder = rig.paths.logs / "shop" / "web"
    folder.mkdir(parents=True)
    for age, name in enumerate(("shop.web-1-a.2", "shop.web-1-a.1", "shop.web-1-gone.1")):
        (folder / f"{name}.log").write_bytes(b"x" * 100_000)
        (folder / f"{name}.log.idx").write_bytes(b"x")
        os.utime(folder / f"{name}.log", (rig.clock.now() - 600 + age,) * 2)
    view = await sweeper(rig, FakeOperations(), Quotas(log_total=250_000)).collect()
    assert {path.name for path in folder.iterdir()} == {
        f"shop.web-1-a.{run}.log{kind}" for run in (1, 2) for kind in ("", ".idx")
    }
    assert view.removed["logs"] == 1 and 200_000 <= view.kept["logs"] < 220_000
    await sweeper(rig, FakeOperations(), Quotas(log_total=0)).collect()
    assert {path.name for path in folder.glob("*.log")} == {"shop.web-1-a.2.log"}


@rigged
async def test_builds_and_their_files_are_kept_for_their_days(rig: Rig) -> None:
    files, now = BakeryFiles(rig.paths), rig.clock.now()
    old, young, nobodys = (files.take([name])[0] for name in (b"old", b"young", b"nobody's"))
    for digest in (old, young, nobodys):
        os.utime(files.path(digest), (now - 8 * DAY,) * 2)
    row = Bake("a", "shop", "web", "vm", "raw", "s" * 64, {}, "ann", 1.0, "done", 1.0, now - 8 * DAY, old, 3)
    rig.store.bakes.put(row)
    rig.store.bakes.put(replace(row, id="b", ended_at=now - DAY, digest=young))
    for number in range(120):
        rig.store.bakes.put(replace(row, id=f"f{number}", state="failed", ended_at=now - number, digest=""))
    (cache,) = rig.store.bakes.scopes()
    add_cache(rig.paths.caches / cache, age=2 * 3600, now=now)
    add_cache(rig.paths.caches / "bakery-0.shop.web", age=2 * 3600, now=now)
    view = await sweeper(rig, FakeOperations()).collect()
    assert {each.digest for each in files.list()} == {young}
    assert view.removed["builds"] == 21 and view.removed["baked files"] == 2 and view.kept["baked files"] == 5
    assert len(rig.store.bakes.recent(limit=1000)) == 101
    assert [path.name for path in rig.paths.caches.iterdir()] == [cache]
