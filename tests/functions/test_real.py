"""The invoker with real sandboxes: what only both together can get wrong."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fourfold.functions.model import Config
from fourfold.functions.sandboxes import Sandboxes
from tests.functions.rig import HANDLERS, eventually, in_loop, running
from tests.functions.sandboxing import handler, needs_limits, needs_root, own_groups, tree

pytestmark = [needs_root, needs_limits]


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Config]:
    """Of the handlers beside this file."""
    with tree() as folder, own_groups():
        config = handler(folder, (HANDLERS / "app.py").read_text(), handler="app.by_name", concurrency=2)
        yield replace(config, socket=str(tmp_path / "invoker.sock"), usage=str(tmp_path / "usage"))


def test_events_in_sandboxes_and_every_end(tmp_path: Path, made: Config) -> None:
    async def work() -> None:
        async with running(tmp_path, replace(made, timeout=60.0, memory=192 * 1024 * 1024), Sandboxes.open) as rig:
            assert json.loads((await rig.invoke({"do": "echo"})).payload) == {"do": "echo"}
            warm = await rig.invoke({"do": "pid"}, tail=True)
            assert (await rig.invoke({"do": "pid"})).payload == warm.payload
            report = base64.b64decode(warm.log).decode().splitlines()[-1]
            used = int(report.partition("Max Memory Used: ")[2].split()[0])
            assert 1 <= used < 192 and "Init Duration" not in report
            for event, words in (
                ({"do": "os._exit", "code": 3}, "exit status 3"),
                ({"do": "hog", "bytes": 1 << 30}, "signal: killed"),
            ):
                answer = await rig.invoke(event)
                assert answer.error == "Unhandled" and words in json.loads(answer.payload)["errorMessage"]
                assert json.loads((await rig.invoke({"do": "echo"})).payload) == {"do": "echo"}
            assert [usage.ended for usage in rig.usage() if usage.ended != "ok"] == ["crash", "oom"]
            assert [bool(usage.init_ms) for usage in rig.usage()] == [True, False, False, False, True, False, True]
        async with running(tmp_path, replace(made, timeout=0.5), Sandboxes.open) as rig:
            for _ in range(2):
                answer = await rig.invoke({"do": "sleep", "seconds": 60})
                assert "timed out after 0.50 seconds" in json.loads(answer.payload)["errorMessage"]

    in_loop(work())


def test_threads_left_behind_are_frozen_between_events(tmp_path: Path, made: Config) -> None:
    """And run on while there is one."""

    async def work() -> None:
        async with running(tmp_path, replace(made, concurrency=1, timeout=60.0), Sandboxes.open) as rig:
            await rig.invoke({"do": "thread"})
            await eventually(lambda: rig.invoker.state()["sandboxes"] == {"frozen": 1})
            await asyncio.sleep(1)
            assert float((await rig.invoke({"do": "longest pause"})).payload) > 0.5

    in_loop(work())


def test_a_burst_in_sandboxes(tmp_path: Path, made: Config) -> None:
    async def work() -> None:
        async with running(tmp_path, replace(made, queue=100), Sandboxes.open) as rig:
            answers = await asyncio.gather(*(rig.invoke({"do": "echo", "n": number}) for number in range(300)))
            good = [number for number, answer in enumerate(answers) if answer.status == 200]
            assert {answer.status for answer in answers} <= {200, 429} and len(good) >= 100
            assert all(json.loads(answers[number].payload)["n"] == number for number in good)

    in_loop(work())


def test_a_concurrency_of_zero_takes_no_event_and_comes_up(tmp_path: Path, made: Config) -> None:
    async def work() -> None:
        async with running(tmp_path, replace(made, concurrency=0), Sandboxes.open) as rig:
            assert (await rig.invoke({})).status == 429

    in_loop(work())
