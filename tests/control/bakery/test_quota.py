"""What one user may ask for and keep; what others have does not count."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fourfold.control.bakery.quota import Quota
from fourfold.control.settings import Settings
from fourfold.errors import TooLargeError, TooManyError
from fourfold.store.tables.bakes import Bake
from tests.control.rig import Rig, rigged

MIB = 1024**2
ROW = Bake("a", "shop", "web", "vm", "raw", "s", {}, "ann", 1.0)


@rigged
async def test_builds_that_wait_or_come_in(rig: Rig) -> None:
    quota = Quota(rig.store.bakes, Settings(bakery_queue=2))
    for row in (ROW, replace(ROW, id="b", state="done"), replace(ROW, id="c", actor="bob")):
        rig.store.bakes.put(row)
    quota.check("ann")
    with pytest.raises(TooManyError, match="of ann: 2 wait or are made already, 2 may"):
        quota.check("ann", coming=1)
    rig.store.bakes.put(replace(ROW, id="d", state="building"))
    with pytest.raises(TooManyError) as caught:
        quota.check("ann")
    assert caught.value.status == 429 and "DELETE" in (caught.value.hint or "")
    quota.check("bob")


@rigged
async def test_what_is_kept(rig: Rig) -> None:
    """One file counts once, however many builds gave it."""
    quota = Quota(rig.store.bakes, Settings(bakery_bytes=10 * MIB))
    for id, digest, size in (("a", "1" * 64, 4), ("b", "1" * 64, 4), ("c", "2" * 64, 5)):
        rig.store.bakes.put(replace(ROW, id=id, state="done", digest=digest, size=size * MIB))
    rig.store.bakes.put(replace(ROW, id="d", state="done", digest="3" * 64, size=99 * MIB, actor="bob"))
    quota.require("ann", MIB)
    with pytest.raises(TooLargeError, match="of ann: 9 MiB are kept, and this one has 2 MiB, 10 MiB may be") as caught:
        quota.require("ann", 2 * MIB)
    assert caught.value.status == 413
    quota.require("ann", 5 * MIB, "2" * 64)
    quota.check("ann")
    with pytest.raises(TooLargeError, match="99 MiB are kept, 10 MiB may be"):
        quota.check("bob")
    rig.store.bakes.remove("d")
    quota.check("bob")
