"""Hosts that run, and the connection to each, which is made again whenever it breaks."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fourfold.errors import WorldError
from fourfold.supervise.hosts.folders import Record
from fourfold.supervise.hosts.link import ANSWER_SECONDS, Declined, Link, Stranger
from fourfold.supervise.model import Identity
from fourfold.supervise.naming import group_of
from fourfold.supervise.spawner.questions import Gone

log = logging.getLogger(__name__)

_RETRY = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
_GRUMBLE_EVERY = 60.0
"""Seconds between two entries of the log about one host: it may do wrong without end."""
_LASTS = 5.0
"""Seconds after which a connection was a good one: the next is tried at once."""
_HUNG = "see its log; `fourfold restart` of its group starts another one"


@dataclass
class Guest:
    name: str
    record: Record
    identity: Identity | None = None
    """None: it is being started, has ended, or nothing was heard of it yet."""
    starting: bool = False
    ended: bool = False
    """That is told, and may have to be told again."""
    pidfd: int = -1
    """Of a worker."""
    kills: int = 0
    """Of its host, when it was told to start: see `Workers.memory_kills`."""

    @property
    def group(self) -> str:
        return group_of(self.name, self.record.run)


@dataclass
class Host:
    name: str
    run: int
    identity: Identity
    folder: Path
    guests: dict[str, Guest] = field(default_factory=dict)
    told: dict[str, int] = field(default_factory=dict)
    """Guest -> the last run of it that has ended in here."""
    noted: dict[tuple[str, str], float] = field(default_factory=dict)
    """Guest and kind -> when the last note of it was passed on (monotonic)."""
    link: Link | None = None
    linked: asyncio.Event = field(default_factory=asyncio.Event)
    """Its guests were compared with ours."""
    keeper: asyncio.Task[None] | None = None
    gone: bool = False
    """It has ended, or is not watched any more."""
    doomed: str = ""
    """Why it was killed, if it was we who did."""
    trouble: str = "its control socket is not there"
    grumbled_at: float = -math.inf

    @property
    def group(self) -> str:
        return group_of(self.name, self.run)


class Hosts:
    def __init__(
        self,
        belongs: Callable[[Host, int], bool],
        on_event: Callable[[Host, Mapping[str, Any]], None],
        on_list: Callable[[Host, Any], None],
    ) -> None:
        """`belongs`: whether a pid is of that host. `on_list` gets what it lists, first on each connection."""
        self._belongs = belongs
        self._on_event = on_event
        self._on_list = on_list
        self._hosts: dict[str, Host] = {}

    def __iter__(self) -> Iterator[Host]:
        return iter(list(self._hosts.values()))

    def get(self, name: str | None) -> Host | None:
        return self._hosts.get(name or "")

    def add(self, host: Host) -> None:
        self._hosts[host.name] = host
        host.keeper = asyncio.get_running_loop().create_task(self._keep(host), name=f"host {host.name}")

    def drop(self, host: Host) -> None:
        """It has ended."""
        host.gone = True
        self._hosts.pop(host.name, None)
        if host.keeper is not None:
            host.keeper.cancel()
        host.linked.set()  # whoever waits for it sees that it is not there any more

    async def close(self) -> None:
        hosts = list(self)
        for host in hosts:
            self.drop(host)
        await asyncio.gather(*(host.keeper for host in hosts if host.keeper is not None), return_exceptions=True)

    async def call(self, host: Host, do: str, /, wait: bool = True, **arguments: Any) -> Any:
        """Asked again when the connection ends meanwhile, for every request may be repeated.

        WorldError: it has ended, does not answer in ten seconds, or, with Declined as the cause, says no. `wait`: for a
        connection, if there is none.
        """
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                while True:
                    if wait:
                        await host.linked.wait()
                    if host.gone:
                        raise WorldError(f"cannot reach the host {host.name}: it has ended")
                    if host.link is None or not host.linked.is_set():
                        raise WorldError(f"cannot reach the host {host.name}: {host.trouble}", _HUNG)
                    with suppress(Gone):
                        return await host.link.call(do, **arguments)
                    await asyncio.sleep(_RETRY[0])
        except Declined as declined:
            raise WorldError(f"cannot {do} in {host.name}: {declined}") from declined
        except TimeoutError as error:
            why = host.trouble
            if host.link is not None:
                why = f"no answer in {ANSWER_SECONDS:g} s"
                host.link.hang_up(why)  # what it does after all is seen in its list on the next connection
            raise WorldError(f"cannot reach the host {host.name}: {why}", _HUNG) from error

    async def _keep(self, host: Host) -> None:
        attempt = 0
        try:
            while True:
                ended = asyncio.Event()
                try:
                    host.link = link = await Link.connect(
                        host.folder,
                        lambda pid: self._belongs(host, pid),
                        lambda event: self._on_event(host, event),
                        lambda why: _grumble(host, why),
                        ended.set,
                    )
                    await link.call("list", at_once=lambda listed: self._on_list(host, listed))
                    host.linked.set()
                    since = time.monotonic()
                    await ended.wait()
                    host.trouble = link.trouble
                    attempt = 0 if time.monotonic() - since > _LASTS else attempt
                except (OSError, Stranger, Declined, Gone) as error:
                    host.trouble = _trouble(error, host.link)
                    if not isinstance(error, FileNotFoundError | ConnectionRefusedError):
                        _grumble(host, host.trouble)
                except Exception:
                    host.trouble = "a fault in Fourfold, see the daemon's log"
                    log.exception("the connection to the host %s", host.name)
                host.linked.clear()
                await _hang_up(host)
                await asyncio.sleep(_RETRY[min(attempt, len(_RETRY) - 1)])
                attempt += 1
        finally:
            await _hang_up(host)


def _grumble(host: Host, why: str) -> None:
    now = time.monotonic()
    if now - host.grumbled_at > _GRUMBLE_EVERY:
        host.grumbled_at = now
        log.warning("the host %s does not do as hosts do: %s", host.name, why)


async def _hang_up(host: Host) -> None:
    link, host.link = host.link, None
    if link is not None:
        await link.close()


def _trouble(error: Exception, link: Link | None) -> str:
    if isinstance(error, FileNotFoundError):
        return "its control socket is not there"
    if isinstance(error, ConnectionRefusedError):
        return "nobody listens on its control socket"
    if isinstance(error, TimeoutError):
        return f"no answer in {ANSWER_SECONDS:g} s"
    if link is not None and isinstance(error, Gone):
        return link.trouble
    return f"it declines to list its guests: {error}" if isinstance(error, Declined) else str(error)
