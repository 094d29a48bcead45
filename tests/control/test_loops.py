"""Whoever is kept going looks when it is time, when there is news, and after a failure."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest

from fourfold.control import loops
from fourfold.errors import WorldError
from tests.store.samples import FixedClock


@pytest.mark.parametrize("awaited", [False, True])
def test_it_looks_again(monkeypatch: pytest.MonkeyPatch, awaited: bool) -> None:
    monkeypatch.setattr(loops, "AGAIN_SECONDS", 0.0)
    clock = FixedClock()
    outcomes: list[float | Exception | None] = [clock.now(), WorldError("cannot"), ValueError("a mistake"), None, None]
    told: list[str] = []

    async def scenario() -> None:
        news, ended = asyncio.Event(), asyncio.Event()

        def look() -> loops.Until | Awaitable[loops.Until]:
            told.append("look")
            outcome = outcomes.pop(0)
            if isinstance(outcome, Exception):
                raise outcome
            if outcome is None:  # only news makes it look again
                asyncio.get_running_loop().call_soon(news.set if outcomes else ended.set)
            return later(outcome) if awaited else outcome

        async def later(outcome: float | None) -> float | None:
            told.append("later")
            return outcome

        keeping = asyncio.create_task(loops.keep("them", look, news, clock, lambda: told.append("recover")))
        await asyncio.wait_for(ended.wait(), 20)
        keeping.cancel()

    asyncio.run(scenario())
    assert [each for each in told if each != "later"] == ["look", "look", "recover", "look", "recover", "look", "look"]
    assert told.count("later") == (3 if awaited else 0)


def test_what_ends_with_a_failure_begins_again_and_takes_nothing_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "AGAIN_SECONDS", 0.0)

    async def scenario() -> None:
        begun, ended = 0, asyncio.Event()

        async def run() -> None:
            nonlocal begun
            begun += 1
            if begun < 3:
                raise WorldError("cannot") if begun == 1 else ValueError("a mistake")
            ended.set()
            await asyncio.Event().wait()

        running = asyncio.create_task(loops.keep_running("them", run))
        await asyncio.wait_for(ended.wait(), 20)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(scenario())


def test_what_is_done_again_rests_for_a_while() -> None:
    assert [loops.rest(took) for took in (0.0, 0.001, 60.0)] == [0.0, 0.005, loops.REST_SECONDS]


@pytest.mark.parametrize(("seconds", "times"), [(0.0, 2), (3600.0, 1)])
def test_what_comes_meanwhile_is_done_together(monkeypatch: pytest.MonkeyPatch, seconds: float, times: int) -> None:
    monkeypatch.setattr(loops, "rest", lambda took: seconds)
    done: list[str] = []

    async def scenario() -> None:
        soon = loops.Soon(lambda: done.append("it"))
        for _ in range(2):
            soon.ask()
            soon.ask()
            for _ in range(5):
                await asyncio.sleep(0)

    asyncio.run(scenario())
    assert len(done) == times


@pytest.mark.parametrize(("seconds", "again"), [(0.0, True), (3600.0, False)])
def test_what_the_world_refuses_is_done_again_once_however_often_it_is_asked_for_meanwhile(
    monkeypatch: pytest.MonkeyPatch, seconds: float, again: bool
) -> None:
    monkeypatch.setattr(loops, "rest", lambda took: 0.0)
    monkeypatch.setattr(loops, "AGAIN_SECONDS", seconds)
    done: list[str] = []

    def refused() -> None:
        done.append("it")
        raise WorldError("the disk is full")

    async def scenario() -> None:
        soon = loops.Soon(refused)
        for _ in range(20):
            if not again or not done:
                soon.ask()
            await asyncio.sleep(0.001)

    asyncio.run(scenario())
    assert (len(done) > 1) == again
