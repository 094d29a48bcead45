"""kill -9 of the invoker or its cradle: nothing outlives them, with nobody there to clear up."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from pathlib import Path

import pytest

from fourfold.functions.sandboxes import Exited, SandboxError
from tests.functions.sandboxing import (
    BRIDGE,
    NO_BRIDGE,
    USER,
    Client,
    config,
    handler,
    line,
    needs_root,
    opened,
    own_groups,
    python,
    sandboxed,
    surroundings,
    tree,
)
from tests.support.mounts import mounts_of
from tests.support.wait import until

pytestmark = needs_root

BUSY = "import threading, os\nprint('up', flush=True)\nif not os.fork(): os.setsid()\nwhile True: pass"


@pytest.mark.parametrize("fork_server", [False, True])
def test_the_invoker_is_killed(fork_server: bool) -> None:
    with tree() as folder, surroundings():
        ready, report = os.pipe()
        if (pid := os.fork()) == 0:
            try:
                asyncio.run(_invoke(folder, report, fork_server))
            finally:
                os._exit(1)
        os.close(report)
        with os.fdopen(ready) as file:
            assert file.readline() == "ready\n"
        assert len(_of_user()) >= 4
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        until(lambda: not _of_user(), what="the end of all processes")
        until(lambda: [name for _, name in socket.if_nameindex()] == ["lo", "br9"], what="the end of all interfaces")
        until(lambda: not _nested(), what="the end of all control groups")
        assert mounts_of(folder) == []


async def _invoke(folder: Path, report: int, fork_server: bool) -> None:
    given = handler(folder, BUSY, network=BRIDGE) if fork_server else python(folder, BUSY, network=BRIDGE)
    async with opened(given) as sandboxes:
        for number in range(2):
            sandbox = await sandboxes.start()
            assert await line(sandbox) == "up"
            if number:
                sandboxes.freeze(sandbox)
        os.write(report, b"ready\n")
        await asyncio.sleep(1000)


@pytest.mark.parametrize("fork_server", [False, True])
def test_the_cradle_is_killed(fork_server: bool) -> None:
    @sandboxed
    async def go() -> None:
        with tree() as folder:
            given = handler(folder, BUSY) if fork_server else python(folder, BUSY)
            async with opened(given) as sandboxes:
                running = [await sandboxes.start() for _ in range(2)]
                for sandbox in running:
                    assert await line(sandbox) == "up"
                sandboxes.freeze(running[0])
                os.kill(sandboxes.cradle, signal.SIGKILL)
                assert await asyncio.wait_for(sandboxes.lost, 60) == "the cradle has ended"
                await asyncio.to_thread(until, lambda: not _of_user())
                for sandbox in running:
                    assert sandbox.exited.result() == Exited(None, signal.SIGKILL, False)
                    await sandboxes.kill(sandbox)
                with pytest.raises(SandboxError, match="the cradle has ended"):
                    await sandboxes.start()

    go()


def test_without_groups_and_bridge_it_says_what_is_missing() -> None:
    async def go() -> None:
        with tree() as folder:
            async with opened(handler(folder, "def handler(event, context): return event")) as sandboxes:
                assert {*sandboxes.missing} == {"cpu", "memory", "pids", "freezer", "network"}
                sandbox = await sandboxes.start()
                client = await Client.of(sandbox)
                sandboxes.begin(sandbox)
                assert await client.handle("hello") == "hello"
                sandboxes.freeze(sandbox)
                await sandboxes.thaw(sandbox)
                usage = sandboxes.usage(sandbox)
                assert (usage.peak_bytes, usage.cpu_seconds) == (None, None)
                await sandboxes.kill(sandbox)
                assert sandbox.exited.result().signal == signal.SIGKILL

    asyncio.run(go())


def test_a_bridge_that_is_not_there_is_told() -> None:
    async def go() -> None:
        with tree() as folder, own_groups():
            for given in (config(folder, "/bin/true", network=BRIDGE), handler(folder, BUSY, network=BRIDGE)):
                with pytest.raises(SandboxError, match="cannot make sandboxes: network: br9: no interface"):
                    async with opened(given):
                        pass
            async with opened(config(folder, "/bin/true", network=NO_BRIDGE)) as sandboxes:
                await asyncio.wait_for((await sandboxes.start()).exited, 60)

    asyncio.run(go())


def _of_user() -> list[int]:
    """Processes of the function's user, but those that are dead and not waited for."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and entry.stat().st_uid == USER.uid and _is_alive(entry):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def _is_alive(entry: Path) -> bool:
    return (entry / "stat").read_text().rpartition(")")[2].split()[0] not in "ZX"


def _nested() -> list[Path]:
    """Groups that were made in that of the instance."""
    found: list[Path] = []
    for text in Path("/proc/self/cgroup").read_text().splitlines():
        path = text.split(":", 2)[2]
        if "/fourfold/" in path:
            for point in Path("/sys/fs/cgroup").iterdir():
                folder = Path(f"{point}{path}")
                found += [each for each in folder.iterdir() if each.is_dir()] if folder.is_dir() else []
    return found
