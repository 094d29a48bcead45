"""What a caller holds: programs with streams of their own, machines for one program or to make templates of.

They end with whoever holds them, and their exits are told to nobody else.
"""

from __future__ import annotations

import asyncio
import os
import signal as signals
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any, Protocol

from fourfold.errors import ConflictError, WorldError
from fourfold.launch.model import Launch, Machine
from fourfold.supervise.attach import Attached
from fourfold.supervise.attached import Held, open_streams
from fourfold.supervise.cgroups.cgroups import Groups
from fourfold.supervise.machines.lodgers import lodge
from fourfold.supervise.machines.machines import Machines, idle
from fourfold.supervise.machines.templates import Booting
from fourfold.supervise.model import Exit
from fourfold.supervise.naming import group_of
from fourfold.supervise.spawner.request import environment_of

Ended = asyncio.Future[Exit]


class Spawn(Protocol):
    """`run` 0 and no log, for what is held."""

    async def __call__(
        self, launch: Launch, secrets: Mapping[str, str], run: int, log: str | None, streams: Sequence[int], tty: bool
    ) -> Any: ...


class Holding:
    """`kill` and `signal` are the supervisor's; `runs`: whether an instance of that name does."""

    def __init__(
        self,
        machines: Machines,
        groups: Callable[[], Groups],
        spawn: Spawn,
        kill: Callable[[str], Awaitable[bool]],
        signal: Callable[[str, str], Awaitable[bool]],
        runs: Callable[[str], bool],
    ) -> None:
        self._machines = machines
        self._groups = groups
        self._spawn = spawn
        self._kill = kill
        self._signal = signal
        self._runs = runs
        self._held: dict[str, Ended] = {}

    def names(self) -> frozenset[str]:
        return frozenset(self._held)

    def ended(self, exit: Exit) -> None:
        ended = self._held.pop(exit.instance, None)
        if ended is not None and not ended.done():
            ended.set_result(exit)

    def drop(self) -> None:
        """The spawner has died, or is let go: what it held ends with that."""
        for name, ended in self._held.items():
            if not ended.done():
                ended.set_result(Exit(0, name, None, signals.SIGKILL, False, at=0.0))
        self._held.clear()

    async def hold(self, name: str, spawn: Callable[[Sequence[int]], Awaitable[Any]], tty: bool) -> Attached:
        """A program on this host, with streams. ConflictError; else what `spawn` raises."""
        ended = self._begin(name)
        theirs, input, outputs = open_streams(tty)
        try:
            await spawn(theirs)
        except BaseException as error:
            self._held.pop(name, None)  # the spawner may have died
            for fd in {input, *outputs}:
                os.close(fd)
            if isinstance(error, asyncio.CancelledError):  # it may run, or yet be started
                with suppress(WorldError):
                    await self._kill(name)
            raise
        finally:
            for fd in theirs:
                os.close(fd)

        async def send(signal: str) -> None:
            with suppress(WorldError):  # the spawner is gone, and what it held ends with it
                await (self._kill(name) if signal == "KILL" else self._signal(name, signal))

        return Held(input, outputs, ended, send)

    async def lodge(self, launch: Launch, machine: Machine, secrets: Mapping[str, str], tty: bool) -> Attached:
        """A program in a machine of its own."""
        name, group = launch.instance, group_of(launch.instance, 0)
        ended = self._begin(name)
        idling = replace(launch, machine=replace(machine, guest=idle(machine)))

        async def start(streams: Sequence[int]) -> None:
            try:
                await self._spawn(idling, secrets, 0, None, streams, tty=False)
            except BaseException:
                self._held.pop(name, None)
                raise

        async def end() -> None:
            self._machines.forget(group)
            with suppress(WorldError):
                await self._kill(name)
            await asyncio.shield(ended)

        env = environment_of(launch, secrets)
        return await lodge(self._machines, launch, machine, env, group, tty, start, ended, end)

    @asynccontextmanager
    async def boot(self, launch: Launch, log: int) -> AsyncIterator[Booting]:
        """A machine that a template is made of: what it prints goes to the file `log`. In the end it is killed."""
        name, group = launch.instance, group_of(launch.instance, 0)
        ended = self._begin(name)
        nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        try:
            await self._spawn(launch, {}, 0, None, (nothing, log, log), tty=False)
            yield Booting(self._machines.folder(group), ended)
        finally:
            os.close(nothing)
            with suppress(WorldError):
                await self._kill(name)
            self._held.pop(name, None)
            self._machines.remove(group)
            await self._groups().remove_when_empty(group)

    def _begin(self, name: str) -> Ended:
        if name in self._held or self._runs(name):
            raise ConflictError(f"cannot start {name}: it already runs", "stop it first")
        ended = self._held[name] = asyncio.get_running_loop().create_future()
        return ended
