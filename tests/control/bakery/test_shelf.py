"""A file that one build drops while another one is about to keep the same: it stays, in either order."""

from __future__ import annotations

from dataclasses import replace

from fourfold.control.bakery.shelf import Shelf
from fourfold.store.files.bakery import BakeryFiles
from fourfold.store.tables.bakes import Bake
from tests.control.rig import Rig, rigged

ROW = Bake("a", "shop", "web", "vm", "raw", "s", {}, "ann", 1.0, "done")


@rigged
async def test_what_is_dropped(rig: Rig) -> None:
    files = BakeryFiles(rig.paths)
    shelf = Shelf(files, rig.store.bakes)
    await shelf.hold("b", "")
    digest, size = files.take([b"made"])
    rig.store.bakes.put(replace(ROW, digest=digest, size=size))
    await shelf.drop(digest)
    assert files.has(digest), "a row names it"
    rig.store.bakes.remove("a")
    await shelf.hold("b", digest)
    await shelf.drop(digest)
    assert files.has(digest), "another build is about to have it"
    shelf.let_go("b")
    await shelf.drop("")
    await shelf.drop(digest)
    assert not files.has(digest)
