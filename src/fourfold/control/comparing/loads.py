"""What a service is asked while it is measured: as it was told, else as it was asked of late, else what it answers."""

from __future__ import annotations

import asyncio
from typing import Literal

from fourfold.control.comparing.measure import LoadPlan
from fourfold.control.comparing.recorded import Recorded, Recording, inside
from fourfold.control.comparing.request import CompareRequest
from fourfold.control.goals import GATEWAY, desired
from fourfold.control.instances import probe
from fourfold.control.parts import Parts
from fourfold.cost.comparison import Load
from fourfold.errors import UserError
from fourfold.load.file import parse
from fourfold.load.model import Request
from fourfold.spec.model import Service
from fourfold.store.model import ServiceRow

DEFAULT_RATE = 20.0
RECORDED_RATES = (5.0, 500.0)
"""Of a recorded load at least and at most: fewer requests tell nothing within seconds."""
RECORDED_SECONDS = 3600.0
LEAST_SPAN = 60.0
"""Seconds: of a log that has only just begun nobody can tell a rate."""
EXAMPLES = 5
ANSWERS_WITHIN = 5.0
SECONDS, QUICK_SECONDS = 10.0, 4.0
SATURATION_SECONDS, QUICK_SATURATION_SECONDS = 5.0, 2.0

Source = Literal["described", "file", "recorded", "default"]


async def load_of(
    parts: Parts, row: ServiceRow, spec: Service, request: CompareRequest
) -> tuple[Load, LoadPlan | None]:
    """None: it has no port. Raises UserError for a file of requests that cannot be used, or for a load for nobody."""
    if spec.port is None:
        if request.requests is not None or request.requests_per_second is not None:
            raise UserError(f"cannot ask {row.name} anything: it has no port", "leave out --requests and --rps")
        return Load(source="default", requests_per_second=0.0, duration_seconds=0.0, distinct_requests=0), None
    requests, source, rate = await _asked(parts, row, spec, request)
    if request.requests_per_second is not None:
        source, rate = "described" if source != "file" else source, request.requests_per_second
    seconds = request.duration_seconds or (QUICK_SECONDS if request.quick else SECONDS)
    often = sorted(requests, key=lambda each: -each.weight)
    load = Load(
        source=source,
        requests_per_second=rate,
        duration_seconds=seconds,
        distinct_requests=len(requests),
        examples=tuple(map(str, often[:EXAMPLES])),
    )
    saturation = QUICK_SATURATION_SECONDS if request.quick else SATURATION_SECONDS
    return load, LoadPlan(requests, rate, seconds, saturation)


async def _asked(
    parts: Parts, row: ServiceRow, spec: Service, request: CompareRequest
) -> tuple[tuple[Request, ...], Source, float]:
    """Requests as the service sees them, where they come from, and how many a second that would be."""
    if request.requests is not None:
        told = await asyncio.to_thread(parse, request.requests)
        return tuple(inside(each, spec.route) for each in told), "file", DEFAULT_RATE
    log, seconds = await _log(parts, row, spec)
    if log.requests:
        low, high = RECORDED_RATES
        return log.requests, "recorded", min(max(log.total / seconds / max(desired(row), 1), low), high)
    path = await _usual_path(parts, row, spec)
    return (Request("GET", path, (("Host", spec.called),)),), "default", DEFAULT_RATE


async def _usual_path(parts: Parts, row: ServiceRow, spec: Service) -> str:
    """That of its route, if the live service answers it well; else the one that tells how it is."""
    health = spec.health.path if spec.health is not None else None
    instances = parts.registry.of_service(f"{row.app}.{row.name}")
    asked = next((each for each in instances if each.state == "ready" and each.port and each.block is None), None)
    if health is None:
        return spec.route_path
    if asked is None or asked.port is None:
        return health
    wrong = await probe.http(asked.reached_at, asked.port, spec.route_path, ANSWERS_WITHIN, spec.called)
    return health if wrong is not None else spec.route_path


async def _log(parts: Parts, row: ServiceRow, spec: Service) -> tuple[Recorded, float]:
    """What the service was asked of late, and in how many seconds. The log is all services' and may be long."""
    begun = now = parts.clock.now()
    log = Recording(f"{row.app}.{row.name}", spec.route)
    async for _, line in parts.logs.read(
        [GATEWAY], since=now - RECORDED_SECONDS, tail=None, previous=False, follow=False
    ):
        begun = min(begun, line.at)
        log.add(line.text)
    return await asyncio.to_thread(log.recorded), max(now - begun, LEAST_SPAN)
