"""Events as they are followed and waited for."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest.mock import Mock

import pytest

from fourfold.control import bus
from fourfold.control.faults import Faults
from fourfold.errors import WorldError
from fourfold.store.garbage import gc
from tests.control.rig import Rig, eventually, rigged


@rigged
async def test_what_does_not_match_is_looked_at_once(rig: Rig) -> None:
    """Else each event would cost a look at all that came before it."""
    asked: list[int] = []
    after = rig.store.events.after

    def counted(seq: int, *which: Any, **more: Any) -> Any:
        asked.append(seq)
        return after(seq, *which, **more)

    object.__setattr__(rig.store.events, "after", counted)
    seen: list[str] = []

    async def follow() -> None:
        async for event in rig.bus.follow(0, "mine"):
            seen.append(event.message)

    following = asyncio.create_task(follow())
    for number in range(5):
        rig.bus.emit("x", f"{number}", app="mine" if number == 4 else "other")
        await rig.bus.until(lambda number=number: rig.bus.last == number + 1)  # type: ignore[misc]
        await asyncio.sleep(0)
    await eventually(lambda: seen == ["4"])
    following.cancel()
    assert 0 < asked.count(0) <= 2 and max(asked) >= 4


@rigged
async def test_whoever_waits_goes_on_waiting_when_the_daemon_ends(rig: Rig) -> None:
    """What is not done then is the next daemon's to see through: it has not failed."""
    waiting = asyncio.create_task(rig.bus.until(lambda: False))
    await asyncio.sleep(0)
    rig.bus.close()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()


@rigged
async def test_old_events_are_forgotten_while_new_ones_come(rig: Rig) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bus, "TRIM_AFTER", 30)
        patch.setattr(gc, "KEEP_ROUTINE", 5)
        for _ in range(30):
            rig.bus.emit("run.done", "", app="shop", service="tick")
        rig.bus.flush()
    assert len([event for event in rig.bus.since(0) if event.kind == "run.done"]) == 5


@rigged
async def test_whoever_follows_is_told_that_the_store_takes_no_more(rig: Rig) -> None:
    """What has happened would else be waited for without a word, for as long as its disk is full."""

    async def follow() -> list[str]:
        return [event.message async for event in rig.bus.follow(0)]

    following = asyncio.create_task(follow())
    await asyncio.sleep(0)
    refuses = WorldError("cannot write the store: its disk is full")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Faults, "committing", Mock(side_effect=refuses))
        rig.bus.emit("x", "one")
        with pytest.raises(WorldError, match="its disk is full"):
            await following
    assert [event.message for event in rig.bus.since(0)] == ["one"]


@rigged
async def test_whoever_follows_is_told_of_a_step_that_cannot_be_stored(rig: Rig) -> None:
    """Of which there is no event yet; once it can be, it is told as ever."""
    seen: list[str] = []

    async def follow() -> None:
        async for event in rig.bus.follow(0):
            seen.append(event.message)

    following = asyncio.create_task(follow())
    await asyncio.sleep(0)
    with pytest.raises(WorldError), rig.bus.whole(), rig.registry.transaction():
        rig.bus.emit("x", "one")
        raise WorldError("cannot write the store: its disk is full")
    with pytest.raises(WorldError, match="its disk is full"):
        await following
    following = asyncio.create_task(follow())
    await asyncio.sleep(0)
    with rig.bus.whole(), rig.registry.transaction():
        rig.bus.emit("x", "two")
    await eventually(lambda: seen == ["two"])
    following.cancel()
