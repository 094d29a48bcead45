"""Exits on their way to the daemon: none lost, none told twice, none acknowledged before it is noted."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import pytest

from fourfold.errors import WorldError
from fourfold.supervise.model import Exit
from fourfold.supervise.spawner import exits, starting
from fourfold.supervise.spawner.exits import Exits
from tests.supervise.rig import Rig, scenario, until


def ended(seq: int, instance: str, run: int = 1) -> Exit:
    return Exit(seq, instance, 0, None, False, at=1.0, run=run)


def test_a_held_exit_is_told_after_later_ones_and_acknowledged_with_them() -> None:
    async def test() -> None:
        told: list[int] = []
        acknowledged: list[int] = []
        both = Exits(lambda exit: told.append(exit.seq), acknowledged.append)
        both.hold("a")
        both.hear(ended(1, "a"))
        both.hear(ended(2, "b"))
        assert told == [2] and acknowledged == [] and both.are_open("a") and not both.are_open("b")
        both.let_go("a")
        await asyncio.sleep(0)
        assert told == [2, 1] and acknowledged == [2] and not both
        both.hear(ended(1, "a"))
        both.hear(ended(2, "b"))
        assert told == [2, 1] and acknowledged == [2, 2, 2]
        both.forgotten(2)
        both.hear(ended(3, "a", run=2))
        assert told == [2, 1, 3] and acknowledged[-1] == 3

    asyncio.run(test())


def test_an_exit_is_told_until_it_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exits, "_RETRY", (0.01,))

    async def test() -> None:
        refused = [WorldError("the disk is full"), OSError(28, "No space left on device")]
        told: list[int] = []
        acknowledged: list[int] = []

        def note(exit: Exit) -> None:
            if exit.seq == 1 and refused:
                raise refused.pop()
            told.append(exit.seq)

        both = Exits(note, acknowledged.append)
        both.hear(ended(1, "a"))
        both.hear(ended(2, "b"))
        assert told == [2] and acknowledged == []
        await until(lambda: not both, "it was not told again")
        assert told == [2, 1] and acknowledged == [2]

    asyncio.run(test())


def test_many_that_end_at_once_while_the_daemon_sleeps_are_all_told() -> None:
    """Answers and exits then arrive in one piece, before any `start` has gone on."""

    async def test(rig: Rig) -> None:
        names = [f"a.b-1-{number}" for number in range(12)]
        spawner = await rig.spawner_pid()
        os.kill(spawner, signal.SIGSTOP)  # until it was asked for all of them
        starts = asyncio.gather(*(rig.start(rig.launch(name, "true"), {}, 1) for name in names))
        await until(lambda: rig._client is not None and len(rig._client.questions) == len(names), "they were not asked")
        os.kill(spawner, signal.SIGCONT)
        time.sleep(0.5)  # noqa: ASYNC251 - that nothing else goes on is the point
        await starts
        await until(lambda: len(rig.exits) == len(names), "an exit was lost")
        await until(lambda: not rig._exits._noted, "they were not acknowledged")
        assert not rig.running() and sorted(exit.instance for exit in rig.exits) == sorted(names)

    scenario(test)


def test_what_is_not_there_is_said_so() -> None:
    async def test(rig: Rig) -> None:
        assert not await rig.signal("a.b-1-x", "TERM") and not await rig.kill("a.b-1-x")
        await rig.sleeper("a.b-1-x")
        assert await rig.signal("a.b-1-x", "CONT") and await rig.kill("a.b-1-x")
        await rig.exit_of("a.b-1-x")
        assert not await rig.kill("a.b-1-x")

    scenario(test)


def test_no_memory_for_a_new_spawner_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(rig: Rig) -> None:
        await rig.sleeper("a.b-1-x")
        real, failures = starting._run_starter, [OSError(12, "Cannot allocate memory"), RuntimeError("no thread")]

        def scarce(paths: object) -> int:
            if failures:
                raise failures.pop()
            return real(rig.paths)

        monkeypatch.setattr(starting, "_run_starter", scarce)
        await rig.kill_spawner()
        assert not failures and list(rig.running()) == ["a.b-1-x"]

    scenario(test)


def test_what_cannot_be_taken_does_not_end_the_connection() -> None:
    async def test(rig: Rig) -> None:
        heard: list[object] = []

        def confused(event: object) -> None:
            heard.append(event)
            raise KeyError("instance")

        assert rig._client is not None
        rig._client._on_event = confused
        await rig.start(rig.launch("a.b-1-x", "true"), {}, 1)
        await until(lambda: heard, "it did not end")
        pid = await rig.spawner_pid()
        assert rig.lost == []
        rig._client._on_event = rig._on_event
        os.kill(pid, signal.SIGKILL)
        assert (await rig.exit_of("a.b-1-x")).code == 0

    scenario(test)
