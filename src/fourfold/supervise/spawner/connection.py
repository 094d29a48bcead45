"""The daemon's connection to the spawner: made, asked by, and made again when the spawner has died."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from fourfold.errors import WorldError
from fourfold.paths import Paths
from fourfold.supervise.spawner.questions import Gone
from fourfold.supervise.spawner.starting import connect_or_start, spawner_argv
from fourfold.supervise.spawner.versions import Spawner, hello, is_ours, refuse_newer, upgrade
from fourfold.supervise.spawner.wire import Client, Refused

log = logging.getLogger(__name__)

_RETRY = (0.05, 0.2, 1.0, 5.0)
_LONGEST_START = 30.0
"""Seconds that the start of a daemon that is gone may go on."""


class Lost(WorldError):
    """The spawner died, or is silent. Whether it has done what it was asked, its successor knows."""


class Connection(ABC):
    """What is heard over it is for those who make one of their own of it."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._client: Client | None = None
        self.spawner: Spawner | None = None
        """The one that answered last."""
        self._connected = asyncio.Event()
        self._closing = False
        self._recovery: asyncio.Task[None] | None = None

    @abstractmethod
    def _adopt(self, listed: Sequence[Mapping[str, Any]]) -> None:
        """What the spawner knows of, each time that there is a connection."""

    @abstractmethod
    def _on_event(self, event: Mapping[str, Any]) -> None:
        """An exit, also of before, or whatever else it pushes."""

    @abstractmethod
    def _on_connected(self) -> None:
        """It has been adopted and heard; calls are let through after this."""

    @abstractmethod
    def _on_gone(self) -> None:
        """The spawner has died, and what it held with it."""

    @abstractmethod
    def _on_recovered(self) -> None:
        """Another one has taken over."""

    async def _disconnect(self, shutdown: bool) -> bool:
        """For good; `shutdown`: the spawner is to end. -> whether it has."""
        self._closing = True
        if self._recovery is not None:
            self._recovery.cancel()
            await asyncio.gather(self._recovery, return_exceptions=True)
        ended = False
        if (client := self._client) is not None:  # `_on_end` forgets it
            if shutdown:
                try:
                    await client.call("shutdown")
                    ended = True
                except (Gone, Refused) as error:
                    log.debug("the spawner stays: %r", error)
            await client.close()
        return ended

    async def _call(
        self, op: str, fds: Sequence[int] = (), at_once: Callable[[Any], None] | None = None, **arguments: Any
    ) -> Any:
        try:
            async with asyncio.timeout(30):
                await self._connected.wait()
                if self._client is None:
                    raise Gone
                return await self._client.call(op, fds, at_once, **arguments)
        except (Gone, TimeoutError) as error:
            why = "it died" if isinstance(error, Gone) else "no answer in 30 s"
            raise Lost(f"cannot reach the spawner: {why}", "it is being started again; try once more") from error

    async def reached(self) -> None:
        """When there is a connection, again if need be; or after half a minute without one."""
        with suppress(TimeoutError):
            async with asyncio.timeout(30):
                await self._connected.wait()

    async def _connect(self, again: bool = True) -> None:
        client = await connect_or_start(self._paths, self._on_event, self._on_end)
        try:
            spawner = await hello(client)
            refuse_newer(spawner)
            await _settle(client)
            if not is_ours(spawner):
                spawner = await upgrade(client, spawner, spawner_argv(self._paths))
            await client.call("list", at_once=self._adopt)
            await client.call("exits", at_once=self._take_all, after=0)  # from here on, others are pushed
        except (Gone, Refused) as error:
            await client.close()
            if again and isinstance(error, Gone):  # it had just been told to end, and still took the connection
                return await self._connect(again=False)
            raise WorldError(f"cannot talk to the spawner: {str(error) or 'it died'}") from error
        except BaseException:
            await client.close()
            raise
        self._client = client
        self.spawner = spawner
        self._on_connected()
        self._connected.set()

    def _take_all(self, exits: Sequence[Mapping[str, Any]]) -> None:
        for exit in exits:
            self._on_event(exit)

    def _on_end(self) -> None:
        if self._client is None:
            return  # it ended before `_connect` had its answers, which tells by itself
        self._connected.clear()
        self._client = None
        self._on_gone()
        if not self._closing:
            self._recovery = asyncio.get_running_loop().create_task(self._recover(), name="spawner recovery")

    async def _recover(self) -> None:
        for attempt in range(1_000_000):
            try:
                await self._connect()
            except Exception as error:  # whatever it is: without a spawner nothing can be done
                log.error("%s", error, exc_info=not isinstance(error, WorldError))
                await asyncio.sleep(_RETRY[min(attempt, len(_RETRY) - 1)])
                continue
            self._on_recovered()
            return


async def _settle(client: Client) -> None:
    """Wait for what was being started for a daemon that is gone: it may yet fail, or get another pid."""
    left = _LONGEST_START
    while names := [each["instance"] for each in await client.call("list") if each.get("starting")]:
        if left <= 0:
            for name in names:
                await client.call("kill", instance=name)
            return
        await asyncio.sleep(_RETRY[0])
        left -= _RETRY[0]
