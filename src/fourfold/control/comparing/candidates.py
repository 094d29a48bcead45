"""Candidates as apps of this daemon: brought up, changed, and always taken away again.

That a candidate is to be taken away is stored before anything of it is: a daemon that finds it at its start does so.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from fourfold.control import views as v
from fourfold.control.comparing.candidate import CandidateApp
from fourfold.control.comparing.left import TO_TAKE_AWAY
from fourfold.control.deploying.bringing import Bringing
from fourfold.control.operations import Work
from fourfold.control.parts import Parts
from fourfold.errors import FourfoldError, WorldError
from fourfold.store.model import Event

log = logging.getLogger(__name__)

ACTOR = "compare"


class Candidates:
    def __init__(self, parts: Parts, bringing: Bringing) -> None:
        self._parts = parts
        self._bringing = bringing

    def prepare(self, candidate: CandidateApp, beside: str, secrets: Iterable[str]) -> None:
        """What must be there before it is brought up: `secrets` of the app `beside`. To be taken away from now on."""
        store = self._parts.store
        with self._parts.registry.transaction():
            store.meta.put(TO_TAKE_AWAY + candidate.name, beside)
            store.secrets.set_many(candidate.name, store.secrets.resolve(beside, secrets))

    async def consider(self, candidate: CandidateApp, source: str, beside: str) -> None:
        """Raises UserError where it cannot run here."""
        await self._bringing.consider(self._request(candidate, source), beside)

    async def bring(self, candidate: CandidateApp, source: str, beside: str) -> Sequence[Event]:
        """Bring it to what its app says; returns the operation's events when it has ended. Raises UserError, and
        WorldError when it failed."""
        return await self._ended(await self._bringing.up(self._request(candidate, source), beside))

    async def restart(self, candidate: CandidateApp) -> None:
        await self._restart(candidate, candidate.service)

    async def restart_whole(self, candidate: CandidateApp) -> None:
        """Of a member of a group, its host with it."""
        await self._restart(candidate, candidate.group or candidate.service)

    async def _restart(self, candidate: CandidateApp, service: str) -> None:
        key = f"{candidate.name}.{service}"
        await self._run(candidate.name, "restart", service, partial(self._parts.deployer.restart, [key]))

    async def scale(self, candidate: CandidateApp, count: int) -> None:
        key = f"{candidate.name}.{candidate.service}"
        work = partial(self._parts.deployer.scale, {key: count}, False)
        await self._run(candidate.name, "scale", candidate.service, work)

    async def take_away(self, name: str) -> None:
        """Whatever there is of it, though only its build had begun, and whatever is going on with it. Raises WorldError
        when something stays."""
        parts = self._parts
        await parts.operations.abandon(name)
        names = [row.name for row in parts.registry.of_app(name)]
        await self._ended(parts.operations.submit(name, "down", ACTOR, names, partial(parts.down.run, name, True)))
        with parts.registry.transaction():
            parts.store.uids.forget_app(name)
            parts.store.meta.remove(TO_TAKE_AWAY + name)

    async def take_all_away(self, names: Iterable[str]) -> list[str]:
        """All at once; what went wrong, if anything did. The next daemon tries again what is still there."""
        wanted = list(names)
        results = await asyncio.gather(*(self.take_away(name) for name in wanted), return_exceptions=True)
        wrong = []
        for name, result in zip(wanted, results, strict=True):
            if isinstance(result, FourfoldError):
                wrong.append(str(result))
            elif isinstance(result, BaseException):
                log.error("the candidate %s was not taken away", name, exc_info=result)
                wrong.append(f"cannot take {name} away: a fault in Fourfold, see the daemon's log")
        return wrong

    def _request(self, candidate: CandidateApp, source: str) -> v.UpRequest:
        """Its group comes up with those that live in it, and with no others."""
        services = list(candidate.services)
        sources = dict.fromkeys(services, source)
        return v.UpRequest(spec=dict(candidate.app), sources=sources, services=services, actor=ACTOR, file="/")

    async def _run(self, app: str, kind: str, service: str, work: Work) -> None:
        await self._ended(self._parts.operations.submit(app, kind, ACTOR, [service], work))

    async def _ended(self, operation: v.OperationView) -> list[Event]:
        events = []
        async for event in self._parts.bus.follow(operation.after, operation.app, operation.id):
            events.append(event)
            if event.kind == "operation.done":
                return events
            if event.kind == "operation.failed":
                raise WorldError(_why(events), event.data.get("hint"))
        raise WorldError(f"cannot see the {operation.kind} of {operation.app} end: the daemon ends")


def _why(events: Sequence[Event]) -> str:
    """Of an operation that failed: what its one service says, without the name of an app that nobody has made."""
    last = events[-1]
    failed = last.data.get("failed")
    if isinstance(failed, Mapping) and failed:
        return "; ".join(str(reason) for reason in failed.values())
    return last.message


def data_of(events: Iterable[Event], kind: str, service: str) -> Mapping[str, Any]:
    """Of the last event of a kind about a service; empty without one."""
    found: Mapping[str, Any] = {}
    for event in events:
        if event.kind == kind and event.service == service:
            found = event.data
    return found
