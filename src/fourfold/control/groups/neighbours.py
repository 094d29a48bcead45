"""Looks at what the members of groups take, tells of bad neighbours, and has those moved out that are to be."""

from __future__ import annotations

import asyncio
import logging
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import psutil

from fourfold.clock import Clock
from fourfold.control.bus import Bus
from fourfold.control.groups.evicting import Evicting
from fourfold.control.instances.taken import taken
from fourfold.control.registry import Registry, key_of
from fourfold.errors import FourfoldError
from fourfold.gateway.model import InstanceStats
from fourfold.plan.neighbours import Bounds, Guest, Host, Look, Onset, Verdict, judge, kept, onsets
from fourfold.spec.groups import Group
from fourfold.spec.groups import Host as GroupSpec
from fourfold.store.model import InstanceRow
from fourfold.supervise.hosts.hosted import Hosted, HostUsage
from fourfold.supervise.model import Note, Usage

log = logging.getLogger(__name__)

LOOKS = 6
"""In each window."""
PATIENCE = 3.0
"""Seconds that a host has to answer; it is to do so within one."""
MOST_NOTES = 100
"""At once."""
MOST_LEAKS = 5
"""Told of one guest: what shares its host's process can make up any number of them."""


@dataclass
class _Seen:
    """Of one run of a host."""

    group: str
    """Key of the service that it is an instance of."""
    usage: HostUsage = field(default_factory=HostUsage)
    looks: dict[tuple[str, int], tuple[Look, ...]] = field(default_factory=dict)
    """Guest and its run -> what it has taken, oldest first."""
    heap: list[tuple[float, int]] = field(default_factory=list)
    onsets: dict[Onset, float] = field(default_factory=dict)


class Neighbours:
    def __init__(
        self,
        registry: Registry,
        usage: Callable[[str], Usage | None],
        ask: Callable[[str], Awaitable[HostUsage]],
        served: Callable[[], Awaitable[Mapping[str, InstanceStats]]],
        evicting: Evicting,
        bus: Bus,
        clock: Clock,
        bounds: Bounds,
    ) -> None:
        """`usage`: of what has processes of its own; `ask`: what a host says of its guests; `served`: what the gateway
        has had answered. The last two raise FourfoldError."""
        self._registry = registry
        self._usage = usage
        self._ask = ask
        self._served = served
        self._evicting = evicting
        self._bus = bus
        self._clock = clock
        self._bounds = bounds
        self._seen: dict[tuple[str, int], _Seen] = {}
        """Host and its run."""
        self._notes: asyncio.Queue[Note] = asyncio.Queue(MOST_NOTES)
        self._leaks: Counter[str] = Counter()
        """Guest -> how many were told of."""

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep(self._look_again))
            group.create_task(self._keep(self._listen))

    async def _keep(self, step: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await step()
            except FourfoldError as error:
                log.debug("%s", error)
            except Exception:  # nothing may be left without its keeper
                log.exception("a fault while neighbours were looked at")

    async def _look_again(self) -> None:
        await asyncio.sleep(self._bounds.window / LOOKS)
        await self.look()

    async def _listen(self) -> None:
        await self.noted(await self._notes.get())

    def hear(self, note: Note) -> None:
        """What a host tells by itself. A flood of it is not listened to."""
        with suppress(asyncio.QueueFull):
            self._notes.put_nowait(note)

    def last(self, row: InstanceRow) -> Hosted | None:
        """What a guest's host said of it a few seconds ago."""
        host = self._registry.instances.get(row.host or "")
        seen = self._seen.get((host.id, host.run)) if host is not None else None
        return seen.usage.guests.get(row.id) if seen is not None else None

    async def hosted(self, hosts: Iterable[str]) -> dict[str, Hosted]:
        """Guest -> what its host says of it now; nothing of hosts that do not answer."""
        answers = await asyncio.gather(*(self._asked(name) for name in hosts))
        return {name: each for answer in answers if answer is not None for name, each in answer.guests.items()}

    async def look(self) -> None:
        """Once: what all guests have taken by now, and what there is to say about it."""
        guests: dict[str, list[InstanceRow]] = {}
        for row in self._registry.instances.values():
            if row.host is not None and row.host in self._registry.instances and row.state == "ready":
                guests.setdefault(row.host, []).append(row)
        hosts = {name: self._registry.instances[name] for name in guests}
        runs = {(host.id, host.run) for host in hosts.values()}
        self._seen = {run: seen for run, seen in self._seen.items() if run in runs}
        for guest in [each for each in self._leaks if self._registry.store.instances.get(each) is None]:
            del self._leaks[guest]
        if not guests:
            return
        served = await self._served()
        for name, answer in zip(guests, await asyncio.gather(*map(self._asked, guests)), strict=True):
            if answer is not None:
                self._take(hosts[name], guests[name], answer, served)
                await self._judge(hosts[name], guests[name])

    async def _asked(self, host: str) -> HostUsage | None:
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._ask(host)
        except (FourfoldError, TimeoutError) as error:
            log.debug("host %s does not say what its guests take: %s", host, error)
            return None

    def _take(
        self, host: InstanceRow, rows: list[InstanceRow], usage: HostUsage, served: Mapping[str, InstanceStats]
    ) -> None:
        now, seen = self._clock.now(), self._of(host)
        seen.usage = usage
        if usage.heap_bytes is not None:
            seen.heap = [each for each in seen.heap if each[0] > now - 70 * self._bounds.window]
            seen.heap.append((now, usage.heap_bytes))
        looks = {}
        for row in rows:
            before = seen.looks.get((row.id, row.run), ())
            look = _look(now, self._usage(row.id), usage.guests.get(row.id), served.get(row.id))
            looks[row.id, row.run] = kept((*before, look), now, self._bounds)
        seen.looks = looks

    def _of(self, host: InstanceRow) -> _Seen:
        return self._seen.setdefault((host.id, host.run), _Seen(key_of(host)))

    async def _judge(self, host: InstanceRow, rows: list[InstanceRow]) -> None:
        """Not while the group or one of its members is being deployed: what starts takes more than it will."""
        keys = {key_of(host), *map(key_of, rows)}
        if any(self._registry.running_deployment(key) for key in keys):
            return
        now, seen = self._clock.now(), self._seen[host.id, host.run]
        verdicts = judge(self._as_host(host, rows, seen), now, self._bounds)
        seen.onsets, fresh = onsets(seen.onsets, verdicts, now, self._bounds.window)
        by_id = {row.id: row for row in rows}
        for number, verdict in enumerate(fresh):
            await self._tell(host, by_id[verdict.guest], verdict, act=number == 0)

    async def _tell(self, host: InstanceRow, row: InstanceRow, verdict: Verdict, act: bool) -> None:
        """`act`: of several at once the heaviest is moved; the others may be well without it, or are told again."""
        self._bus.emit(
            "neighbour.abuse",
            f"{row.service} {verdict.said}",
            app=row.app,
            service=row.service,
            instance=row.id,
            group=host.service,
            host=host.id,
            what=verdict.what,
        )
        spec = self._registry.spec(key_of(row), row.release)
        if act and spec.shared.on_abuse == "evict" and await self._evicting.evict(key_of(row), verdict.said):
            for seen in self._seen.values():  # a group without it is another one
                if seen.group == key_of(host):
                    seen.looks, seen.heap = {}, []

    def _as_host(self, host: InstanceRow, rows: list[InstanceRow], seen: _Seen) -> Host:
        group = self._group(host)
        cores = group.resources.cpu or float(os.cpu_count() or 1)
        if group.kind == "python" and group.mode == "mounted":
            cores = min(cores, 1.0)  # one interpreter, and its lock
        guests = tuple(Guest(row.id, seen.looks[row.id, row.run], self._room(host, row, seen)) for row in rows)
        return Host(guests, cores, tuple(seen.heap), seen.usage.heap_most)

    def _room(self, host: InstanceRow, row: InstanceRow, seen: _Seen) -> int:
        """Bytes that it may still take: up to its own limit, its group's, its heap's, or else all the machine has."""
        whole, own = self._usage(host.id), self._usage(row.id)
        limit, rooms = self._group(host).resources.memory, []
        if limit is not None and whole is not None:
            rooms.append(limit - whole.memory_bytes)
        member = self._registry.spec(key_of(row), row.release).resources.memory
        if own is not None and member is not None:
            rooms.append(member - own.memory_bytes)
        if own is None and seen.usage.heap_most is not None and seen.heap:
            recent = [size for at, size in seen.heap if at >= seen.heap[-1][0] - self._bounds.window]
            rooms.append(seen.usage.heap_most - min(recent))  # after a collection, if there was one
        return max(0, min(rooms, default=psutil.virtual_memory().available))

    def _group(self, host: InstanceRow) -> Group:
        spec = self._registry.spec(key_of(host), host.release)
        assert isinstance(spec, GroupSpec)
        return spec.group

    # -- what hosts tell by themselves ------------------------------------------------------------------------------

    async def noted(self, note: Note) -> None:
        """A guest gets no further, or has ended and left something behind."""
        row = self._registry.instances.get(note.guest) or self._registry.store.instances.get(note.guest)
        if row is None or row.host is None:
            return
        host = self._registry.instances.get(row.host)
        if note.kind == "leak":
            self._leaks[row.id] += 1
            if self._leaks[row.id] > MOST_LEAKS:
                return
            what = f"{row.service} has ended and left something behind in {row.host}: {note.said}"
            self._bus.emit("neighbour.leak", what, app=row.app, service=row.service, instance=row.id, host=row.host)
            if host is not None:
                self._evicting.clear(key_of(row), host)
        elif host is not None and row.state == "ready":
            verdict = Verdict(row.id, "stuck", f"is stuck: {note.said}", 1)
            seen, now = self._of(host), self._clock.now()
            seen.onsets, fresh = onsets(seen.onsets, [verdict], now, self._bounds.window)
            for each in fresh:
                await self._tell(host, row, each, act=True)


def _look(now: float, usage: Usage | None, hosted: Hosted | None, served: InstanceStats | None) -> Look:
    takes, said = taken(usage, hosted), hosted or Hosted()
    in_flight = served.in_flight if served is not None else 0
    return Look(
        at=now,
        cpu_seconds=takes.cpu_seconds,
        memory_bytes=takes.memory_bytes,
        allocated_bytes=said.allocated_bytes,
        answered=served.requests if served is not None else said.requests or 0,
        busy=said.busy if said.busy is not None else in_flight,
        longest=said.longest or 0.0,
    )
