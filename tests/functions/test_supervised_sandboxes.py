"""Sandboxes of an invoker that is an instance: whatever of it dies, the spawner leaves nothing of the others."""

from __future__ import annotations

import os
import signal
import sys
from functools import partial
from pathlib import Path

import pytest

from tests.functions.sandboxing import (
    USER,
    forget_v2,
    handler,
    has_v1_freezer,
    in_child,
    needs_limits,
    needs_root,
    tree,
)
from tests.supervise.rig import Rig, scenario, until

pytestmark = [needs_root, needs_limits]

ROOT = str(Path(__file__).parents[2])
INVOKER = """
import asyncio, json, os, sys
sys.path.insert(0, ROOT)
from fourfold.functions.model import Config
from tests.functions.sandboxing import line, opened
async def main():
    async with opened(Config.from_json(CONFIG)) as sandboxes:
        for number in range(2):
            sandbox = await sandboxes.start()
            assert await line(sandbox) == "up"
            if number:
                sandboxes.freeze(sandbox)
        print(sandboxes.cradle, os.getpid(), flush=True)
        await sandboxes.lost
asyncio.run(main())
"""
BUSY = "import os\nif os.fork(): print('up', flush=True)\nelse: os.setsid()\nwhile True: pass"


def supervised() -> None:
    async def test(rig: Rig) -> None:
        with tree() as folder:
            given = handler(folder, BUSY)
            code = INVOKER.replace("ROOT", repr(str(Path(__file__).parents[2]))).replace(
                "CONFIG", repr(given.to_json())
            )
            for number, how in enumerate(("kill", "main", "cradle", "spawner")):
                name = f"a.f-{number}-x"
                launch = rig.launch(name, sys.executable, "-c", code, user=None, private=False)
                await rig.start(launch, {}, 1)
                await until(partial(rig.lines, name), "it does not get ready")
                cradle, main = map(int, rig.lines(name)[0].split())
                usage = rig.usage(name)
                assert usage is not None and usage.processes >= 8, "those in its groups' groups are its own"
                if how == "kill":
                    await rig.kill(name)
                else:
                    if how == "spawner":
                        await rig.kill_spawner()
                    os.kill(cradle if how == "cradle" else main, signal.SIGKILL)
                await rig.exit_of(name)
                await until(lambda: not rig.groups(), "groups were left")
                await until(lambda: not of_user(), "processes were left")

    scenario(test)


def of_user() -> list[str]:
    return [line for line in _statuses() if f"\nUid:\t{USER.uid}\t" in line and "\nState:\tZ" not in line]


def _statuses() -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        try:
            found.append((entry / "status").read_text() if entry.name.isdigit() else "")
        except OSError:
            continue
    return found


def test_deaths() -> None:
    supervised()


@pytest.mark.full
@pytest.mark.skipif(not has_v1_freezer, reason="this host's control groups are v2 alone")
def test_deaths_on_v1() -> None:
    def do() -> None:
        forget_v2()
        supervised()

    in_child(do)
