"""Comparisons as the API sees them: begun as an operation that is sure to leave nothing behind, and kept."""

from __future__ import annotations

import asyncio
import contextlib
import os
from functools import partial
from typing import Any

import psutil

from fourfold.build.build import BuildRequest
from fourfold.build.inspect import listing_of
from fourfold.build.kinds import osgi, tomcat
from fourfold.clock import rfc3339
from fourfold.control import views as v
from fourfold.control.comparing.candidate import Live, refuse_job
from fourfold.control.comparing.candidates import Candidates
from fourfold.control.comparing.left import left
from fourfold.control.comparing.loads import load_of
from fourfold.control.comparing.measure import Measuring
from fourfold.control.comparing.request import CompareRequest
from fourfold.control.comparing.run import QUICK_ROUNDS, ROUNDS, Asked, Run
from fourfold.control.deploying.bringing import Bringing
from fourfold.control.goals import pattern_of
from fourfold.control.operations import Operation
from fourfold.control.parts import Parts
from fourfold.cost.comparison import Comparison, Load, Machine
from fourfold.cost.rounds import Subject
from fourfold.cost.summary import summary
from fourfold.errors import FourfoldError, NotFoundError, UserError, WorldError
from fourfold.spec.groups import Host
from fourfold.spec.model import Service
from fourfold.spec.shared import Kind
from fourfold.store.model import ComparisonRow, ServiceRow

TURN = "comparing."
"""Two comparisons would measure each other: one at a time on this machine. No app can have this name."""
ENDS_WITHIN = 40.0
"""Seconds that a daemon which ends gives candidates to be taken away; the next one sees to the rest."""
PAUSES = (1.0, 600.0)
"""Seconds until what could not be taken away is tried again: the first, doubled up to the longest."""


class Comparing:
    def __init__(self, parts: Parts, bringing: Bringing) -> None:
        self._parts = parts
        self._candidates = Candidates(parts, bringing)
        self._ending = False

    async def compare(self, row: ServiceRow, request: CompareRequest) -> v.OperationView:
        """Raises UserError for what cannot be compared at all; nothing has been started then."""
        asked, load = await self._asked(row, request)
        work = partial(self._work, row, request, asked, load)
        return self._parts.operations.submit(row.app, "compare", request.actor, [row.name], work, turn=TURN)

    def newest(self, app: str, service: str) -> Comparison:
        row = self._parts.store.comparisons.newest(app, service)
        if row is None:
            raise NotFoundError(
                f"cannot show a comparison of {service}: it was never compared", f"fourfold compare {service}"
            )
        return Comparison.model_validate_json(row.document)

    async def sweep(self) -> None:
        """Take away what a daemon before this one has left, and try again what cannot be."""
        names, pause = left(self._parts.store), PAUSES[0]
        while names and await self._candidates.take_all_away(names):
            await asyncio.sleep(pause)
            pause = min(2 * pause, PAUSES[1])
            there = left(self._parts.store)
            names = [name for name in names if name in there]

    async def close(self) -> None:
        """End what goes on and take its candidates away, while this daemon can still do so."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ENDS_WITHIN):
                await self._parts.operations.abandon(TURN)
        self._ending = True

    # -- what is asked ----------------------------------------------------------------------------------------------

    async def _asked(self, row: ServiceRow, request: CompareRequest) -> tuple[Asked, Load]:
        parts, key = self._parts, f"{row.app}.{row.name}"
        spec, release = parts.registry.spec(key, row.release), parts.registry.release(key, row.release)
        if isinstance(spec, Host):
            raise UserError(f"cannot compare {row.name}: it is a group", "name one of its members")
        refuse_job(row.name, release.spec)
        parts.stored.check_source(release.source)
        parts.store.secrets.resolve(row.app, {use.name for use in spec.secrets})
        app = parts.registry.apps[row.app]
        if app.candidate_of is not None:
            raise UserError(
                f"cannot compare {row.name} of {row.app}: that is what a comparison runs now",
                f"fourfold compare {row.name} -a {app.candidate_of}",
            )
        plan = await parts.builder.plan(BuildRequest(row.app, row.name, spec, release.source, pattern_of(row)))
        live = Live(
            app=row.app,
            service=row.name,
            spec=release.spec,
            source=release.source,
            externals=app.externals,
            group=spec.shared.group,
            group_spec=self._group(row.app, spec.shared.group),
            kind=await asyncio.to_thread(self._kind, spec, release.source, plan.runtime.name if plan.runtime else ""),
            runtime=plan.runtime.name if plan.runtime else None,
        )
        load, asking = await load_of(parts, row, spec, request)
        rounds = QUICK_ROUNDS if request.quick else ROUNDS
        secrets = tuple(use.name for use in spec.secrets)
        return Asked(live, pattern_of(row), secrets, request.wanted, rounds, spec, asking), load

    def _group(self, app: str, name: str | None) -> dict[str, Any] | None:
        row = self._parts.registry.services.get(f"{app}.{name}")
        if row is None or row.removed:
            return None
        spec = self._parts.registry.spec(f"{app}.{name}", row.release)
        assert isinstance(spec, Host)
        return spec.group.model_dump(mode="json")

    def _kind(self, spec: Service, source: str, runtime: str) -> Kind | None:
        """Of a group that could take it in, where none is named: by what it is made of."""
        listing = listing_of(self._parts.sources.get(source), self._parts.blobs)
        if tomcat.is_webapp(listing, spec):
            return "tomcat"
        if osgi.is_bundles(listing, spec):
            return "osgi"
        if runtime.startswith("nodejs"):
            return "node"
        return "python" if runtime.startswith("python") else None

    # -- the work ---------------------------------------------------------------------------------------------------

    async def _work(
        self, row: ServiceRow, request: CompareRequest, asked: Asked, load: Load, operation: Operation
    ) -> None:
        parts, begun = self._parts, self._parts.clock.now()
        if operation.queued:  # the one before it took minutes
            row = parts.deployer.need(f"{row.app}.{row.name}")
            asked, load = await self._asked(row, request)
        run = Run(parts, self._candidates, Measuring(parts), asked, operation)
        try:
            with parts.building.holding([asked.live.source]):
                tried = await run.run()
        finally:
            await self._leave_nothing(run)
        if f"{row.app}.{row.name}" not in parts.registry.services:
            raise WorldError(f"cannot keep what was measured of {row.name}: it was taken down meanwhile")
        if not any(each.available for each in tried):
            told = "; ".join(f"{each.pattern}: {each.reason}" for each in tried)
            raise WorldError(f"cannot compare {row.name}: it could be measured under no pattern: {told}")
        now = parts.clock.now()
        subject = Subject(
            app=row.app,
            service=row.name,
            release=row.release,
            made_at=rfc3339(now),
            quick=request.quick,
            seconds=round(now - begun, 1),
            machine=self._machine(),
            load=load,
        )
        document = summary(subject, tried)
        if self._changed(row, begun):
            noise = "; ".join(filter(None, [document.noise, f"{row.name} itself was deployed meanwhile"]))
            document = document.model_copy(update={"noise": noise})
        document = await self._priced(document, operation)
        with parts.registry.transaction():
            stored = ComparisonRow(operation.id, row.app, row.name, row.release, now, document.model_dump_json())
            parts.store.comparisons.put(stored)

    def _changed(self, row: ServiceRow, since: float) -> bool:
        """Whether the live service was deployed, scaled, restarted: that takes CPU, and what is called answers late."""
        deployment = self._parts.registry.deployments.get(f"{row.app}.{row.name}")
        return deployment is not None and (deployment.finished_at is None or deployment.finished_at > since)

    async def _priced(self, measured: Comparison, operation: Operation) -> Comparison:
        """A price file that cannot be read takes nothing away from what was measured."""
        try:
            return await self._parts.costing.priced(measured.app, measured)
        except FourfoldError as error:
            what = f"{measured.service}: left without costs: {error}"
            self._parts.bus.emit("compare.unpriced", what, **operation.tag(), hint=error.hint)
            return measured

    async def _leave_nothing(self, run: Run) -> None:
        """Whatever has happened, and though whoever waits for it should lose patience: it is soon over."""
        cleaning = asyncio.create_task(self._candidates.take_all_away(run.names))
        cancelled = None
        while not cleaning.done():
            try:
                await asyncio.shield(cleaning)
            except asyncio.CancelledError as error:
                if self._ending:
                    raise
                cancelled = error
        if wrong := cleaning.result():
            raise WorldError(
                f"cannot take all away that was compared: {'; '.join(wrong)}", "the next daemon tries again"
            )
        if cancelled is not None:
            raise cancelled

    def _machine(self) -> Machine:
        return Machine(
            cores=os.cpu_count() or 1,
            memory_bytes=psutil.virtual_memory().total,
            kernel=os.uname().release,
            accelerator=self._parts.supervisor.powers.accelerator,
        )
