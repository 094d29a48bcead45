"""Code of a function that has come to the fork server, where it is not alone, and means ill."""

from __future__ import annotations

import asyncio
import signal
from functools import partial
from pathlib import Path

import pytest

from fourfold.functions.sandboxes import Exited, Sandbox, SandboxError, Sandboxes
from tests.functions.sandboxing import (
    Client,
    handler,
    needs_limits,
    needs_root,
    opened,
    python,
    sandboxed,
    tree,
)
from tests.supervise.rig import until

pytestmark = [needs_root, needs_limits]

HANDLER = "\ndef handler(event, context):\n    return event\n"
SAYS_NOTHING = """
import os, time
os.close = lambda fd: None  # the fork server holds each sandbox's channel open
def wait():
    time.sleep(0.2)
    os._exit(0)
os.wait = wait
"""
STAYS = """
import os, time
fork, times = os.fork, []
def stay():
    times.append(0)
    if len(times) == AT and fork() == 0:
        while True:
            time.sleep(0.001)
    return fork()
os.fork = stay
"""
RUNS = """
import signal
def spin(*_):
    for _ in range(10_000):
        pass
signal.signal(signal.SIGALRM, spin)
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
"""
ENDS = """
import os
fork, times = os.fork, []
def end():
    times.append(0)
    if os.getpid() == 1 and len(times) == 2:
        os._exit(0)
    return fork()
os.fork = end
"""
"""Whenever one is parked."""
JOINS_NOTHING = """
import os
write = os.write
os.write = lambda fd, data: 1 if data == b"0" else write(fd, data)
"""
SILENT = "import os, time\nos.fork = lambda: time.sleep(1000)\n"


@pytest.mark.parametrize("at", [1, 2], ids=["of the fork server", "of a sandbox"])
def test_who_stays_behind_in_groups_is_ended(at: int) -> None:
    """Forked by the fork server before it forks; or by the parent of a sandbox's first process, which has joined."""

    @sandboxed
    async def go() -> None:
        with tree() as folder:
            code = STAYS.replace("AT", str(at)) + HANDLER
            async with opened(handler(folder, code, preload="handler")) as sandboxes:
                for _ in range(2):
                    sandbox = await sandboxes.start()
                    await answered(sandbox)
                    server = Path(sandbox.group.folders[0]).with_name("forkserver")
                    await asyncio.wait_for(sandboxes.kill(sandbox), 60)
                    await until(partial(is_gone, sandbox), "somebody of it is left")
                    await until(lambda: len(processes(server)) == 1, "somebody is left beside the fork server")  # noqa: B023

    go()


@sandboxed
async def test_a_sandbox_that_ends_without_a_word_while_its_channel_is_held_open() -> None:
    with tree() as folder:
        async with opened(handler(folder, SAYS_NOTHING + HANDLER, preload="handler")) as sandboxes:
            sandbox = await sandboxes.start()
            assert await asyncio.wait_for(sandbox.exited, 60) == Exited(None, signal.SIGKILL, False)
            await asyncio.wait_for(sandboxes.kill(sandbox), 60)


@sandboxed
async def test_nothing_runs_while_nothing_is_asked() -> None:
    with tree() as folder:
        async with opened(handler(folder, RUNS + HANDLER, preload="handler")) as sandboxes:
            sandbox = await sandboxes.start()
            await answered(sandbox)
            own = Path(sandbox.group.cpu).parents[1]
            name = Path(sandbox.group.cpu).name
            await sandboxes.kill(sandbox)

            def used() -> str:
                return "".join(file.read_text() for file in sorted(own.glob(f"*/{name}")))

            async with asyncio.timeout(60):
                before = ""
                while before.count("\n") != 3 or used() != before:  # two are parked
                    before = used()
                    await asyncio.sleep(0.2)  # a while in which nothing takes any of the CPU
            await answered(await sandboxes.start())


@sandboxed
async def test_a_fork_server_that_ends_each_time_is_not_started_for_ever() -> None:
    with tree() as folder:
        async with opened(handler(folder, ENDS + HANDLER, preload="handler")) as sandboxes:
            await until(lambda: "ends again and again" in "".join(sandboxes.notes), "it is started again")
            while not await answers(sandboxes):
                pass  # it was parked, or about to be, when the last fork server ended, and ended with it


@sandboxed
async def test_who_does_not_join_the_groups_that_limit_it_is_not_run() -> None:
    with tree() as folder:
        async with opened(handler(folder, JOINS_NOTHING + HANDLER, preload="handler")) as sandboxes:
            assert "it has not joined its control groups" in sandboxes.missing["forkserver"]
            await answered(await sandboxes.start())


@pytest.mark.full
@sandboxed
async def test_who_never_gets_ready_is_given_up() -> None:
    with tree() as folder:
        async with opened(handler(folder, SILENT + HANDLER, preload="handler")) as sandboxes:
            await answered(await sandboxes.start())
            assert "not ready within 30 s" in sandboxes.missing["forkserver"]


@sandboxed
async def test_a_concurrency_of_zero_is_none() -> None:
    with tree() as folder:
        for given in (python(folder, "", concurrency=0), handler(folder, HANDLER, concurrency=0)):
            async with opened(given) as sandboxes:
                with pytest.raises(SandboxError, match="all 0 sandboxes are in use"):
                    await asyncio.wait_for(sandboxes.start(), 60)


async def answered(sandbox: Sandbox) -> None:
    client = await Client.of(sandbox)
    assert await client.handle(1) == 1
    client.close()


async def answers(sandboxes: Sandboxes) -> bool:
    """A new sandbox does, unless it ends before that."""
    try:
        sandbox = await sandboxes.start()
    except SandboxError:
        return False
    call = asyncio.create_task(answered(sandbox))
    sandbox.exited.add_done_callback(lambda _: call.cancel())
    await asyncio.wait({call})
    if call.cancelled() or isinstance(call.exception(), ConnectionError):
        return False
    return call.result() is None


def processes(group: Path) -> list[str]:
    return (group / "cgroup.procs").read_text().split()


def is_gone(sandbox: Sandbox) -> bool:
    """With its groups, and so with everybody who was in them."""
    return not any(Path(folder).exists() for folder in sandbox.group.folders)
