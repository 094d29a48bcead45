"""Guests: instances that run in a host, which starts and ends them when told to on its control socket.

What a host lists, each time that it is connected to, is held against what is recorded in its folder, so that a daemon
or a connection that died loses no guest and no end. The protocol is in `build/hosts/README.md`; a host is not trusted
to keep to it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fourfold.errors import ConflictError, WorldError
from fourfold.launch.model import Launch, User
from fourfold.supervise.hosts.folders import HostFolders, Record
from fourfold.supervise.hosts.hearing import Hearing, unwatch
from fourfold.supervise.hosts.hosted import HostUsage, host_usage
from fourfold.supervise.hosts.hosts import Guest, Host, Hosts
from fourfold.supervise.hosts.link import Declined
from fourfold.supervise.hosts.workers import Workers
from fourfold.supervise.model import Exit, Identity, Note, Usage
from fourfold.supervise.naming import group_of
from fourfold.supervise.spawner.wire import Refused

log = logging.getLogger(__name__)

_TAKING_OVER = 5.0
"""Seconds that a new daemon waits for hosts to list their guests; those that are slower are heard later."""


class Guests:
    def __init__(
        self,
        folders: HostFolders,
        workers: Workers,
        hear: Callable[[Exit], None],
        note: Callable[[Note], None],
        spawner: Callable[..., Awaitable[Any]],
    ) -> None:
        """`hear` gets each end; it is kept until `noted`. `spawner` sends it a request: WorldError, Refused."""
        self._folders = folders
        self._workers = workers
        self._spawner = spawner
        self._hearing = Hearing(
            folders,
            workers,
            hear,
            note,
            lambda host, do, guest, run: self._soon(self._tell(host, do, guest=guest, run=run)),
        )
        self._hosts = Hosts(
            lambda host, pid: workers.belongs(host.group, host.identity, pid),
            self._hearing.event,
            self._hearing.compare,
        )
        self._tasks: set[asyncio.Task[None]] = set()

    # hosts

    async def make(self, launch: Launch, run: int, user: User | None) -> None:
        """The folder of a host that is about to start. WorldError."""
        await asyncio.to_thread(self._folders.make, group_of(launch.instance, run), user)

    def add(self, name: str, run: int, identity: Identity) -> Host:
        """A host runs; what its folder tells of guests is true until it says otherwise."""
        folder = self._folders.path(group_of(name, run))
        host = Host(name, run, identity, folder)
        for guest, record in self._folders.records(host.group).items():
            host.guests[guest] = Guest(guest, record)
            if record.pid is not None:
                found = self._workers.identify(host.group, identity, record.pid)
                if found is not None and found.start_time == record.start_time:
                    self._hearing.runs(host, host.guests[guest], found)
            self._soon(self._keep_log(host, record))
        self._hosts.add(host)
        return host

    async def adopt(self, running: Mapping[str, tuple[int, Identity]]) -> None:
        """Of all that runs (name -> run, identity), those with a folder are hosts: take over their guests."""
        hosts = [
            self.add(name, run, identity)
            for name, (run, identity) in running.items()
            if self._hosts.get(name) is None and self._folders.path(group_of(name, run)).is_dir()
        ]
        with suppress(TimeoutError):
            async with asyncio.timeout(_TAKING_OVER):
                await asyncio.gather(*(host.linked.wait() for host in hosts))

    def lose(self, name: str, run: int) -> str:
        """If that was a host, it has ended, and its guests with it. -> why, if that was our doing."""
        host = self._hosts.get(name)
        if host is None or host.run != run:
            return ""
        self._hosts.drop(host)
        for guest in host.guests.values():
            unwatch(guest)
        self._soon(self._discard([self._folders.path(host.group)]))
        return host.doomed

    def clear(self, kept: Collection[str]) -> None:
        """Remove folders of hosts (named with their runs) that are not there any more."""
        if left := self._folders.left(kept):
            self._soon(self._discard(left))

    def keep_logs(self) -> None:
        """Another spawner has taken over: it knows of no guest's log."""
        for host, guest in self._all():
            self._soon(self._keep_log(host, guest.record))

    async def close(self) -> None:
        """Hosts and guests go on."""
        for _, guest in self._all():
            unwatch(guest)
        await self._hosts.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def ask(self, name: str) -> None:
        """Whether a host answers. WorldError: why it does not."""
        await self._hosts.call(self._need(name), "list", wait=False)

    async def usage_of(self, name: str) -> HostUsage:
        """What a host says that its guests take. WorldError."""
        answer = await self._hosts.call(self._need(name), "usage", wait=False)
        return host_usage(answer if isinstance(answer, dict) else {})

    def _need(self, name: str) -> Host:
        host = self._hosts.get(name)
        if host is None:
            raise WorldError(f"cannot ask {name}: it is no host, or does not run")
        return host

    # guests

    def running(self) -> dict[str, Identity]:
        return {guest.name: guest.identity for _, guest in self._all() if guest.identity is not None}

    def runs(self) -> dict[str, int]:
        """Guest -> run; of those that are being started, too."""
        return {guest.name: guest.record.run for _, guest in self._all() if not guest.ended}

    def host_of(self, name: str) -> str | None:
        """The host that a guest runs in."""
        found = self._find(name)
        return found[0].name if found is not None else None

    def usage(self, name: str) -> Usage | None:
        """Of a worker. None: it does not run, or in its host's own process; `usage_of` tells what that can."""
        found = self._find(name)
        if found is None:
            return None
        host, guest = found
        if guest.identity is None or guest.identity == host.identity:
            return None
        return self._workers.usage(host.group, guest.group, guest.identity)

    def groups(self, name: str) -> list[str]:
        """Control groups for what enters it."""
        found = self._find(name)
        return self._workers.folders(found[0].group, found[1].group) if found is not None else []

    def user(self, name: str) -> User | None:
        """Whom it runs as."""
        found = self._find(name)
        return self._folders.owner(found[0].group) if found is not None else None

    async def start(self, launch: Launch, env: Mapping[str, str], run: int, log_path: Path) -> Identity:
        """Have its host start it. WorldError: the host is not there, does not answer, or declines."""
        name, artifact = launch.instance, launch.mounts[0]
        host = self._hosts.get(launch.host)
        if host is None:
            raise WorldError(f"cannot start {name}: its host {launch.host} does not run")
        known = host.guests.get(name)
        if known is not None and (known.identity is not None or known.starting or known.ended):
            raise ConflictError(f"cannot start {name}: it already runs", "stop it first")
        record = Record(run, launch.stop.grace, str(log_path), launch.log_bytes, asdict(launch.limits))
        guest = host.guests[name] = Guest(name, record, starting=True)
        guest.kills = self._workers.memory_kills(host.group)
        try:
            await asyncio.to_thread(self._folders.place, host.group, name, Path(artifact.source), record)
            await self._keep_log(host, record)
            found: list[Identity] = []
            await self._hosts.call(
                host,
                "start",
                at_once=lambda answer: found.append(self._hearing.started(host, guest, answer)),
                guest=name,
                run=run,
                tree=artifact.target,
                argv=list(launch.argv),
                env=dict(env),
                host=launch.listen.host if launch.listen else None,
                port=launch.listen.port if launch.listen else None,
                path=launch.path,
                name=launch.service,
                log=f"{artifact.target}.log",
            )
            return found[-1]
        except Exception as error:  # not when the daemon ends: the next one takes it over
            if host.guests.get(name) is guest and guest.identity is None and not guest.ended:
                self._forget(host, guest)
                if not isinstance(error.__cause__, Declined):  # it may have been started, or yet be
                    self._soon(self._tell(host, "kill", guest=name, run=run))
            raise
        finally:
            guest.starting = False

    async def stop(self, name: str) -> bool:
        """-> whether it is there, and its end is to come. WorldError: its host does not do as told."""
        found = self._find(name)
        if found is not None:
            await self._end(*found, "stop", grace=found[1].record.grace)
        return found is not None

    async def kill(self, name: str) -> bool:
        """As `stop`, at once; a worker without its host's help.

        A host that does not even do that is killed with all that is in it: nothing in there could be ended otherwise.
        """
        found = self._find(name)
        if found is None:
            return False
        host, guest = found
        if guest.identity is not None and guest.identity != host.identity:
            self._workers.kill(host.group, guest.group, guest.identity)
        try:
            await self._end(host, guest, "kill")
        except WorldError as error:
            if guest.identity == host.identity and not host.gone:
                log.error("%s is killed, for it does not end %s: %s", host.name, name, error)
                host.doomed = f"killed: it hung, and {name} in it was to be ended"
                await self._spawner("kill", instance=host.name)
        return True

    def noted(self, exit: Exit) -> None:
        """An end that `hear` was given is stored: the host need not know of it any more."""
        found = self._find(exit.instance)
        if found is not None and found[1].record.run == exit.run:
            self._forget(*found)
            self._soon(self._tell(found[0], "forget", guest=exit.instance, run=exit.run))

    # asking

    async def _end(self, host: Host, guest: Guest, do: str, **arguments: Any) -> None:
        try:
            await self._hosts.call(host, do, guest=guest.name, run=guest.record.run, **arguments)
        except WorldError as error:
            if not isinstance(error.__cause__, Declined):
                raise
            if host.guests.get(guest.name) is guest and not guest.starting:  # else its end was told before
                self._hearing.ended(host, guest, None, None, f"its host says: {error.__cause__}")

    async def _tell(self, host: Host, do: str, **arguments: Any) -> None:
        """What may be lost: the next list brings it up again."""
        with suppress(WorldError):
            await self._hosts.call(host, do, **arguments)

    async def _keep_log(self, host: Host, record: Record) -> None:
        with suppress(WorldError, Refused):  # one that takes over is told again
            await self._spawner("keep", instance=host.name, log=record.log, log_bytes=record.log_bytes)

    # the rest

    def _forget(self, host: Host, guest: Guest) -> None:
        """With everything that was there for it."""
        del host.guests[guest.name]
        unwatch(guest)
        self._soon(self._clear(host, guest, self._folders.clear(host.group, guest.name)))

    async def _clear(self, host: Host, guest: Guest, away: list[Path]) -> None:
        with suppress(WorldError, Refused):
            await self._spawner("drop", instance=host.name, log=guest.record.log)
        await self._workers.clear(host.group, guest.group)
        await self._discard(away)

    async def _discard(self, folders: list[Path]) -> None:
        for folder in folders:
            await asyncio.to_thread(self._folders.discard, folder)

    def _all(self) -> Iterator[tuple[Host, Guest]]:
        return ((host, guest) for host in self._hosts for guest in list(host.guests.values()))

    def _find(self, name: str) -> tuple[Host, Guest] | None:
        return next(((host, host.guests[name]) for host in self._hosts if name in host.guests), None)

    def _soon(self, action: Any) -> None:
        task = asyncio.get_running_loop().create_task(action)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
