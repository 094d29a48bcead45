"""One program in a virtual machine that is there for it alone: what `run` gives one for a service of pattern vm."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from fourfold.errors import WorldError
from fourfold.launch.model import Launch, Machine
from fourfold.supervise.attach import Attached
from fourfold.supervise.machines.machines import BOOT_SECONDS, Machines, words_of
from fourfold.supervise.model import Exit

_MOST_SAID = 65536


class Lodger:
    """Implements `attach.Attached`; the machine ends with it."""

    def __init__(self, session: Attached, end: Callable[[], Awaitable[None]]) -> None:
        self._session = session
        self._end = end
        self.write = session.write
        self.close_input = session.close_input
        self.read = session.read
        self.resize = session.resize
        self.signal = session.signal
        self.wait = session.wait

    async def close(self) -> None:
        try:
            await self._session.close()
        finally:
            await self._end()


async def lodge(
    machines: Machines,
    launch: Launch,
    machine: Machine,
    env: Mapping[str, str],
    name: str,
    tty: bool,
    start: Callable[[Sequence[int]], Awaitable[None]],
    ended: asyncio.Future[Exit],
    end: Callable[[], Awaitable[None]],
) -> Attached:
    """`start` starts the machine, which runs nothing by itself, with three streams; `end` ends it, and `ended` tells.

    WorldError when it does not get as far as running a program, with what its kernel or QEMU said.
    """
    console, nothing = os.memfd_create("console"), os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    try:
        await start((nothing, console, console))
        try:
            guest = asyncio.ensure_future(machines.guest(name, BOOT_SECONDS))
            either: list[asyncio.Future[Any]] = [guest, ended]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not guest.done():
                guest.cancel()
                tail = os.pread(console, _MOST_SAID, 0).decode(errors="replace")
                said = ended.result().said or "; 0"
                raise WorldError(f"cannot start {launch.instance}: {words_of(said, tail)}")
            await guest
            return Lodger(await machines.execute(launch, machine, env, name, tty), end)
        except BaseException:
            await end()
            raise
    finally:
        os.close(console)
        os.close(nothing)
