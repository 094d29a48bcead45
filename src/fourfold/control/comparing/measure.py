"""Measurements of a candidate: what one round tells of it.

Whoever compares brings the candidate up, restarts, scales and deploys it; here is measured what happens meanwhile.
While one is measured, the others should idle. All requests go through the gateway, as users' do, to the listener where
services call each other: no host, TLS or method stands in their way there.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace

from fourfold.control.comparing import memory
from fourfold.control.comparing.candidate import CandidateApp
from fourfold.control.comparing.generator import Generator
from fourfold.control.comparing.noise import look, other_cores
from fourfold.control.comparing.saturation import Step, best, goes_on, steps, still_grows
from fourfold.control.comparing.starts import Starts
from fourfold.control.comparing.takings import Takings, between
from fourfold.control.parts import Parts
from fourfold.control.registry import key_of
from fourfold.cost.comparison import Latency
from fourfold.cost.rounds import Round
from fourfold.errors import WorldError
from fourfold.gateway.program import machine
from fourfold.load.model import Plan, Report, Request

ADDRESS = "127.0.0.1"
WARM_UP_SECONDS = 1.0
"""At the load's rate. What is compiled, imported or opened at the first requests, or started for them (sandboxes),
belongs to the start, not to how fast a service answers."""
CONNECTIONS = 64
TIMEOUT = 10.0
SETTLE_SECONDS = 30.0
"""That instances may take to go which have been replaced."""
ANSWERS_AFTER = 10.0
"""Seconds after an operation has ended within which the first good answer must have come."""
LOST_RATE = 10.0
"""Requests a second at least, while a deploy is watched: fewer would miss what it loses."""
AROUND_SECONDS = 0.5
"""Of load, before and after a deploy."""
LATE_SECONDS, LATE_SHARE = 0.002, 0.25
"""From which delay of the generator on it is worth a note: that, and so much of what the slowest hundredth took."""
IS_LIMIT = 0.9
"""Share of a core, or of a thread, from which on somebody has no more to give."""

GENERATOR_WAS_THE_LIMIT = "the load generator was the limit of the throughput: it may answer more"
GATEWAY_WAS_THE_LIMIT = "the gateway was the limit of the throughput: it may answer more"
GENERATOR_WAS_LATE = "the load generator got too little CPU: its own delay is in the slowest hundredth of the answers"
MORE_AT_ONCE = "its throughput still grew with more requests at once when no more were tried"
DID_NOT_KEEP_UP = "it did not keep up with the load's rate"
REFUSES = "it answered some requests with status 400 to 499"
ENDED = "an instance ended while it was asked"


@dataclass(frozen=True)
class LoadPlan:
    """What every candidate is asked in every round."""

    requests: tuple[Request, ...]
    """Paths as the service sees them: what its routes strip is gone."""
    rate: float
    """A second."""
    seconds: float
    saturation_seconds: float
    """For how long it is asked more than it can answer."""


@dataclass(frozen=True)
class Started:
    """Seconds. None: the service has nothing that tells (no port), or it did not answer well."""

    start_seconds: float | None
    """From the start of the instance to its first good answer."""
    took_over_seconds: float | None = None
    """From when the operation was asked for until what it started has all the traffic."""


@dataclass(frozen=True)
class Deployed:
    seconds: float
    """Of the operation."""
    requests: int
    lost: int
    """Requests that got no answer meanwhile, or an error: `load.model.Report.errors`."""
    kinds: dict[str, int]
    """`status 503`: how many of them."""


class Measuring:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._takings = Takings(parts.registry, parts.supervisor)
        self._most: dict[str, float] = {}
        """Candidate -> requests a second, as it answered at most."""

    async def starting(self, candidate: CandidateApp, work: Callable[[], Awaitable[None]]) -> Started:
        """Of the instance that `work` (bring up, restart) starts; returns when both have ended."""
        parts = self._parts
        starts = Starts(
            parts.registry, parts.clock, parts.supervisor.has_started, parts.traffic.acts_on,
            candidate.name, candidate.service,
        )  # fmt: skip
        asked_at = parts.clock.now()
        watching = asyncio.create_task(starts.watch())
        try:
            await work()
            with suppress(TimeoutError):
                async with asyncio.timeout(ANSWERS_AFTER):
                    await asyncio.shield(watching)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        took_over = starts.took_over_at
        return Started(starts.start_seconds, took_over - asked_at if took_over is not None else None)

    async def round(
        self, candidate: CandidateApp, load: LoadPlan | None, restart: Callable[[], Awaitable[None]]
    ) -> Round:
        """Restart it, look at it idle, ask it at the rate, then as much as it can answer. `load` None: ask nothing."""
        started = await self.starting(candidate, restart)
        await self._settled(candidate)  # whom it replaces is no noise
        before, taken = look(), self._all_cpu(candidate)
        idle = await self.memory(candidate)
        asked = None
        async with Generator() if load is not None else nullcontext() as generator:
            if load is not None and generator is not None:
                asked = await self._ask(candidate, load, generator)
            ours = self._all_cpu(candidate) - taken + (generator.cpu_seconds() if generator is not None else 0.0)
            others = other_cores(before, look(), ours)
        made = Round(
            start_seconds=started.start_seconds,
            restart_seconds=started.took_over_seconds,
            idle_memory_bytes=idle,
            other_cores=others,
        )
        if load is None or asked is None:
            return made
        most = best(asked.steps).report.good_per_second
        self._most[candidate.name] = most
        return replace(
            made,
            loaded_memory_bytes=asked.memory_bytes,
            cpu_seconds_per_1000_requests=asked.cpu_seconds / asked.requests * 1000 if asked.cpu_seconds else None,
            requests_per_second=most,
            latency=_latency(asked.at_rate),
            requests=asked.at_rate.requests,
            errors=asked.at_rate.errors,
            notes=_notes(asked, load, machine().threads),
        )

    async def _ask(self, candidate: CandidateApp, load: LoadPlan, generator: Generator) -> _Asked:
        there = self._takings.cpu(candidate.name).keys()
        await self._warm_up(generator, self._plan(candidate, load, load.rate, WARM_UP_SECONDS, CONNECTIONS), candidate)
        at_rate, cpu = await self._counted(generator, candidate, load, load.rate, load.seconds, CONNECTIONS)
        loaded = await asyncio.to_thread(memory.pss, self._takings.pids(candidate.name))
        planned = steps(load.saturation_seconds)
        first = self._plan(candidate, load, None, planned[0][1] / 2, planned[0][0])
        await self._warm_up(generator, first, candidate)
        tried: list[Step] = []
        requests, cpu_seconds = at_rate.requests, cpu
        for clients, seconds in planned:
            gateway, begun = self._takings.gateway_cpu(), time.monotonic()
            report, cpu = await self._counted(generator, candidate, load, None, seconds, clients)
            gateway_seconds = between(gateway, self._takings.gateway_cpu())
            tried.append(Step(clients, report, gateway_seconds / (time.monotonic() - begun)))
            if len(tried) == 1:  # with many more at once, a program may have more to do for each
                requests += report.requests
                cpu_seconds = cpu_seconds + cpu if cpu_seconds is not None and cpu is not None else None
            if not goes_on(tried):
                break
        ended = self._takings.cpu(candidate.name).keys() != there
        return _Asked(at_rate, loaded, tuple(tried), requests, cpu_seconds, ended)

    async def _warm_up(self, generator: Generator, plan: Plan, candidate: CandidateApp) -> None:
        await generator.run(plan)
        await self._settled(candidate)

    async def _counted(
        self,
        generator: Generator,
        candidate: CandidateApp,
        load: LoadPlan,
        rate: float | None,
        seconds: float,
        connections: int,
    ) -> tuple[Report, float | None]:
        """What was seen, and the CPU seconds that it took; None when an instance came or went meanwhile."""
        before = self._takings.cpu(candidate.name)
        report = await generator.run(self._plan(candidate, load, rate, seconds, connections))
        after = self._takings.cpu(candidate.name)
        return report, between(before, after) if after.keys() == before.keys() else None

    async def memory_in_use(self, candidate: CandidateApp, load: LoadPlan | None, clients: int) -> int | None:
        """As `memory`, once all of it has answered so many clients at a time: what was never asked takes less."""
        if load is not None:
            async with Generator() as generator:
                for row in self._parts.registry.of_app(candidate.name):
                    if row.internal_port is not None:
                        plan = self._plan(candidate, load, None, WARM_UP_SECONDS, clients)
                        await generator.run(replace(plan, port=row.internal_port))
        return await self.memory(candidate)

    async def memory(self, candidate: CandidateApp) -> int | None:
        """Proportional set size of all processes of all its instances, once that does not change any more."""
        await self._settled(candidate)
        return await memory.settled(lambda: self._takings.pids(candidate.name))

    async def deployed(self, candidate: CandidateApp, load: LoadPlan, work: Callable[[], Awaitable[None]]) -> Deployed:
        """What `work` (an operation) loses of requests, from a moment before until a moment after.

        It is asked for no more than half of what it can answer, so that what is lost is lost by the deploy.
        """
        rate = min(max(load.rate, LOST_RATE), self._most.get(candidate.name, load.rate) / 2 or LOST_RATE)
        async with Generator() as generator:
            plan = self._plan(candidate, load, rate, 24 * 3600.0, CONNECTIONS)
            await generator.begin(plan)
            await asyncio.sleep(AROUND_SECONDS)
            begun = time.monotonic()
            await work()
            seconds = time.monotonic() - begun
            await self._settled(candidate)
            await asyncio.sleep(AROUND_SECONDS)
            await generator.stop()
            report = await generator.end(replace(plan, seconds=0.0))
        return Deployed(seconds, report.requests, report.errors, dict(report.kinds))

    def _plan(
        self, candidate: CandidateApp, load: LoadPlan, rate: float | None, seconds: float, connections: int
    ) -> Plan:
        row = self._parts.registry.services.get(f"{candidate.name}.{candidate.service}")
        if row is None or row.internal_port is None:
            raise WorldError(f"cannot measure {candidate.service} as {candidate.pattern}: it is not there any more")
        return Plan(ADDRESS, row.internal_port, load.requests, rate, seconds, connections, TIMEOUT)

    async def _settled(self, candidate: CandidateApp) -> None:
        """Nothing of it comes or goes, or that takes too long."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while time.monotonic() < deadline:
            if self._takings.is_settled(candidate.name) and await self._has_its_sandboxes(candidate):
                return
            await asyncio.sleep(0.02)

    async def _has_its_sandboxes(self, candidate: CandidateApp) -> bool:
        """An instance is ready with its first one; provisioned ones follow."""
        for row in self._takings.rows(candidate.name):
            if row.block is None or (state := await self._parts.invoking.state(row.id)) is None:
                continue
            there = dict(state["sandboxes"])
            wanted = self._parts.registry.spec(key_of(row), row.release).function.provisioned
            if there.pop("starting", 0) or sum(there.values()) < wanted:
                return False
        return True

    def _all_cpu(self, candidate: CandidateApp) -> float:
        """Seconds, of the candidate, the gateway and this daemon."""
        taken = (*self._takings.cpu(candidate.name).values(), *self._takings.gateway_cpu().values())
        return sum(taken) + time.process_time()


@dataclass(frozen=True)
class _Asked:
    at_rate: Report
    memory_bytes: int | None
    """After that."""
    steps: tuple[Step, ...]
    requests: int
    """Of those, in which CPU was looked at."""
    cpu_seconds: float | None
    ended: bool
    """Not all instances were there all the time."""


def _latency(report: Report) -> Latency | None:
    if report.p50 is None or report.p95 is None or report.p99 is None:
        return None
    return Latency(p50=report.p50, p95=report.p95, p99=report.p99, curve=report.curve)


def _notes(asked: _Asked, load: LoadPlan, gateway_threads: int) -> tuple[str, ...]:
    most = best(asked.steps)
    tail = asked.at_rate.seconds - load.seconds  # of about one answer, unless those before it have queued up
    kinds = ", ".join(sorted(asked.at_rate.kinds))
    told = {
        ENDED: asked.ended,
        f"its errors were: {kinds}": bool(kinds),
        DID_NOT_KEEP_UP: tail > 0.5 + 1.5 * (asked.at_rate.p50 or 0.0),
        REFUSES: asked.at_rate.refused > 0,
        GENERATOR_WAS_LATE: asked.at_rate.late > max(LATE_SECONDS, LATE_SHARE * (asked.at_rate.p99 or 0.0)),
        GENERATOR_WAS_THE_LIMIT: most.report.cpu_seconds > IS_LIMIT * most.report.seconds,
        GATEWAY_WAS_THE_LIMIT: most.gateway_cores > IS_LIMIT * gateway_threads,
        MORE_AT_ONCE: still_grows(asked.steps),
    }
    return tuple(what for what, holds in told.items() if holds)
