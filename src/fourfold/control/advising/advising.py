"""Advice on services: gathers what this daemon knows of each, and has `cost.advice` judge it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from fourfold.build.build import BuildRequest
from fourfold.build.inspect import listing_of
from fourfold.control.advising.costs import costs_of, of_hours
from fourfold.control.advising.fitting import blockers, mates, services_of
from fourfold.control.advising.request import AdviceRequest
from fourfold.control.advising.seen import seen
from fourfold.control.deploying.checks import read_app
from fourfold.control.goals import pattern_of
from fourfold.control.groups.groups import spec_of
from fourfold.control.parts import Parts
from fourfold.control.registry import key_of
from fourfold.control.views import CostRequest
from fourfold.cost.advice.advise import advise
from fourfold.cost.advice.case import Case
from fourfold.cost.advice.model import Advice, Blocker
from fourfold.cost.advice.rules import standard
from fourfold.cost.advice.source import Source
from fourfold.cost.comparison import PATTERNS, Comparison, Pattern
from fourfold.cost.model import Traffic
from fourfold.cost.results import ServiceCost
from fourfold.errors import FourfoldError, UserError
from fourfold.spec.app import App
from fourfold.spec.groups import Host
from fourfold.spec.model import External, Service
from fourfold.spec.shared import Shared
from fourfold.store.model import ServiceRow

Blockers = dict[Pattern, tuple[Blocker, ...]]


@dataclass(frozen=True)
class Wanted:
    """What is to be judged: the services of a file, or those that run."""

    app: App
    digests: dict[str, str]
    """Service -> its source in the store; the file's may not be there."""
    sources: dict[str, Source]


@dataclass(frozen=True)
class Taken:
    """What is known of a service's use."""

    traffic: Traffic | None = None
    cost: ServiceCost | None = None


class Advising:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def advise(self, app: str, request: AdviceRequest) -> list[Advice]:
        """Of the file's services where the request has a file, else of those that run. Raises UserError."""
        supposed = standard().assumed(request.assume)
        if request.spec is not None:
            wanted = await asyncio.to_thread(self._of_file, app, request)
        else:
            wanted = await self._of_running(app)
        names = services_of(wanted.app, request.services)
        await self._look(wanted.app, names)
        taken = await self._taken(app)
        cases = [await self._case(wanted, name, request, taken) for name in names]
        return await asyncio.to_thread(lambda: [advise(replace(case, supposed=supposed)) for case in cases])

    def _of_file(self, app: str, request: AdviceRequest) -> Wanted:
        read = read_app(request.spec or {})
        if read.app != app:
            raise UserError(f"cannot advise on {app}: the spec is of app {read.app}", "send it to the path of that app")
        return Wanted(read, request.digests, request.sources)

    async def _of_running(self, app: str) -> Wanted:
        stored = self._parts.status.need_app(app)
        rows = [row for row in self._parts.registry.of_app(app) if not row.removed]
        services = dict(self._running(rows))
        if not services:
            raise UserError(f"cannot advise on {app}: it has no services", "bring it up with: fourfold up")
        everything = [self._parts.registry.spec(key_of(row), row.release) for row in rows]
        groups = {row.name: spec.group for row, spec in zip(rows, everything, strict=True) if isinstance(spec, Host)}
        externals = {name: External.model_validate(each) for name, each in stored.externals.items()}
        releases = {row.name: self._parts.store.releases.need(app, row.name, row.release) for row in rows}
        digests = {name: releases[name].source for name in services}
        sources = {name: found for name in services if (found := await self._source(digests[name], services[name]))}
        return Wanted(App(app=app, services=services, groups=groups, externals=externals), digests, sources)

    def _running(self, rows: list[ServiceRow]) -> Iterator[tuple[str, Service]]:
        """As a file has them: what their groups say is the groups' again."""
        for row in rows:
            spec = self._parts.registry.spec(key_of(row), row.release)
            if isinstance(spec, Host):
                continue
            defaults = Shared()
            shared = spec.shared.model_copy(update={"kind": defaults.kind, "mode": defaults.mode})
            same = {"pattern": row.pattern, "instances": row.instances, "shared": shared}
            yield row.name, spec.model_copy(update=same)

    async def _source(self, digest: str, spec: Service) -> Source | None:
        if spec.image is not None:
            return None
        try:
            return await asyncio.to_thread(lambda: seen(listing_of(self._parts.sources.get(digest), self._parts.blobs)))
        except FourfoldError:
            return None  # it has been removed since: less is known then

    async def _look(self, app: App, names: list[str]) -> None:
        """Have tried what this machine can, as `up --as` would."""
        specs = [spec_of(app, name) for name in names]
        await self._parts.trials.look_for((pattern, spec) for spec in specs for pattern in PATTERNS)

    async def _case(self, wanted: Wanted, name: str, request: AdviceRequest, taken: Mapping[str, Taken]) -> Case:
        parts, app = self._parts, wanted.app
        row = parts.registry.services.get(f"{app.app}.{name}")
        row = None if row is None or row.removed else row
        source = wanted.sources.get(name)
        powers = parts.supervisor.powers
        found = await asyncio.to_thread(blockers, app, name, source, powers, parts.settings.function_timeout)
        await self._unbuildable(wanted, name, found)
        comparison = self._comparison(app.app, name)
        now = _pattern(pattern_of(row) if row is not None else app.services[name].pattern)
        spec = spec_of(app, name)
        known = taken.get(name, Taken())
        if (hours := request.usage.get(name)) is not None:
            prices, _ = await asyncio.to_thread(parts.costing.prices)
            traffic = Traffic(tuple(hours))
            known = Taken(traffic, of_hours(app, name, now, traffic, comparison, prices))
        costs, break_even = costs_of(known.cost)
        return Case(
            app=app.app,
            service=name,
            spec=spec,
            now=now,
            source=source,
            mates=mates(app, name, wanted.sources),
            blockers=_with_tried(found, comparison),
            comparison=comparison,
            release=row.release if row is not None else None,
            traffic=known.traffic,
            prices=costs,
            break_even=break_even,
            emulated=powers.accelerator == "tcg" if powers.accelerator is not None else None,
            asked_daemon=True,
            file=request.file,
        )

    async def _unbuildable(self, wanted: Wanted, name: str, found: Blockers) -> None:
        """What the builders refuse, where its source is in the store: a runtime that is not here, nothing to run."""
        digest = wanted.digests.get(name)
        if digest is None or not self._has(digest):
            return
        for pattern in PATTERNS:
            if pattern in found:
                continue
            spec = spec_of(wanted.app, name).model_copy(update={"pattern": pattern})
            try:
                await self._parts.builder.plan(BuildRequest(wanted.app.app, name, spec, digest, pattern))
            except UserError as error:
                found[pattern] = (Blocker(kind="host", why=error.what, fix=error.hint),)

    def _has(self, digest: str) -> bool:
        try:
            self._parts.stored.check_source(digest)
        except UserError:
            return False
        return True

    async def _taken(self, app: str) -> dict[str, Taken]:
        """What was recorded of the services that run. UserError, SpecError: the daemon's price file."""
        if app not in self._parts.registry.apps:
            return {}
        recorded = await self._parts.costing.recorded(app)
        view = await self._parts.costing.view(app, CostRequest())
        costs = {each.service: each for each in view.services}

        def gathered() -> dict[str, Taken]:
            sums = {each.service: self._parts.journals.sums(app, each.service) for each in recorded}
            traffic = {each.service: each.traffic(sums[each.service]) for each in recorded}
            return {name: Taken(each, costs.get(name)) for name, each in traffic.items() if each.hours}

        return await asyncio.to_thread(gathered)

    def _comparison(self, app: str, service: str) -> Comparison | None:
        row = self._parts.store.comparisons.newest(app, service)
        return Comparison.model_validate_json(row.document) if row is not None else None


def _pattern(name: str) -> Pattern:
    return next(pattern for pattern in PATTERNS if pattern == name)


def _with_tried(found: Blockers, comparison: Comparison | None) -> Blockers:
    """And what a comparison could not run, where nothing else says why. That a pattern could not be had a second time,
    beside the live service (its port, say), does not stop the live one."""
    results = comparison.patterns if comparison is not None else ()
    tried: Blockers = {
        each.pattern: (Blocker(kind="measured", why=f"when it was compared: {each.reason or 'it did not run'}"),)
        for each in results
        if not each.available and not each.live
    }
    return {**tried, **found}
