"""One run: requests at a rate, or as fast as they are answered, until the time is over; then until all are answered."""

from __future__ import annotations

import asyncio
import resource
import time
from array import array
from collections import Counter
from contextlib import suppress

from fourfold.load.client import Client
from fourfold.load.connection import Job
from fourfold.load.latencies import curve, quantile
from fourfold.load.model import Plan, Report, Request
from fourfold.load.picking import spread
from fourfold.load.timer import Ticks

AFTER_THE_END = 3.0
"""Seconds that requests which follow upon each other may go on after the time is over. What takes longer is given up
and not counted: that the last ones hang says nothing of how many are answered."""
TOO_MANY = 429
"""Status (RFC 6585, section 4): what could not be answered as there was too much."""
AFTER_AN_ERROR = 0.02
"""Seconds that a connection waits before its next request, when these follow upon each other: who answers nothing but
errors is not to be asked without a pause."""


class Run:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._client = Client(plan.host, plan.port, plan.connections, plan.timeout)
        self._next = spread([each.weight for each in plan.requests])
        self._written = [(written(each, plan.host, plan.port), each.method == "HEAD") for each in plan.requests]
        self._stop = asyncio.Event()
        self._idle = asyncio.Event()
        self._times = array("d")
        self._late = array("d")
        self._kinds: Counter[str] = Counter()
        self._refused = self._sent = 0
        self._last = 0.0

    def stop(self) -> None:
        """Send no more."""
        self._stop.set()

    async def report(self) -> Report:
        cpu = cpu_seconds()
        rate = self._plan.rate
        begun = await (self._as_fast_as_answered() if rate is None else self._at(rate))
        with suppress(TimeoutError):
            async with asyncio.timeout(AFTER_THE_END if rate is None else None):
                while len(self._times) < self._sent:
                    self._idle.clear()
                    await self._idle.wait()
        await self._client.close()
        ordered = sorted(self._times)
        return Report(
            seconds=max((self._last if ordered else time.monotonic()) - begun, 1e-9),
            requests=len(ordered),
            errors=self._kinds.total(),
            refused=self._refused,
            kinds=dict(self._kinds),
            curve=curve(ordered),
            p50=quantile(ordered, 0.5) if ordered else None,
            p95=quantile(ordered, 0.95) if ordered else None,
            p99=quantile(ordered, 0.99) if ordered else None,
            cpu_seconds=cpu_seconds() - cpu,
            late=quantile(sorted(self._late), 0.99) if self._late else 0.0,
        )

    async def _at(self, rate: float) -> float:
        """When the first was due."""
        ticks, loop = Ticks(rate), asyncio.get_running_loop()
        end = ticks.start + self._plan.seconds

        def tick() -> None:
            for due in ticks.due():
                if due >= end or self._stop.is_set():
                    self._stop.set()
                    return
                if self._client.has_room:
                    self._late.append(time.monotonic() - due)
                self._ask(due)

        loop.add_reader(ticks.fd, tick)
        try:
            await self._until(end)
            tick()  # those that were due, but for which we came too late
            self._stop.set()
        finally:
            loop.remove_reader(ticks.fd)
            ticks.close()
        return ticks.start

    async def _as_fast_as_answered(self) -> float:
        begun = time.monotonic()
        for _ in range(self._plan.connections):
            self._ask(begun)
        await self._until(begun + self._plan.seconds)
        self._stop.set()
        return begun

    async def _until(self, end: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, end - time.monotonic())):
                await self._stop.wait()

    def _ask(self, due: float) -> None:
        data, is_head = self._written[next(self._next)]
        self._sent += 1
        self._client.ask(Job(data, is_head, due, self._done))

    def _again(self) -> None:
        if not self._stop.is_set():
            self._ask(time.monotonic())

    def _done(self, job: Job, status: int, wrong: str) -> None:
        self._client.ended(job)
        self._last = time.monotonic()
        self._times.append(self._last - job.due)
        is_error = bool(wrong) or status >= 500 or status == TOO_MANY
        self._refused += 400 <= status < 500 and not is_error
        if is_error:
            self._kinds[wrong or f"status {status}"] += 1
        if self._plan.rate is None and not self._stop.is_set():
            loop = asyncio.get_running_loop()
            loop.call_later(AFTER_AN_ERROR, self._again) if is_error else loop.call_soon(self._again)
        self._idle.set()


def written(request: Request, host: str, port: int) -> bytes:
    """As it goes over the wire."""
    names = {name.lower() for name, _ in request.headers}
    lines = [f"{request.method} {request.path} HTTP/1.1"]
    lines += [f"Host: {host}:{port}"] if "host" not in names else []
    lines += ["User-Agent: fourfold"] if "user-agent" not in names else []
    lines += [f"{name}: {value}" for name, value in request.headers]
    has_length = names & {"content-length", "transfer-encoding"}
    if not has_length and (request.body or request.method in ("POST", "PUT", "PATCH")):
        lines.append(f"Content-Length: {len(request.body)}")
    return "\r\n".join((*lines, "", "")).encode("utf-8", "surrogateescape") + request.body


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
