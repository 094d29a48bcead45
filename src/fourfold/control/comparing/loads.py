"""What a service is asked while it is measured: as it was told, else as it was asked of late, else what it answers."""

from __future__ import annotations

from fourfold.control.comparing.measure import LoadPlan
from fourfold.control.comparing.request import CompareRequest
from fourfold.control.parts import Parts
from fourfold.cost.comparison import Load
from fourfold.load.model import Request
from fourfold.spec.model import Service
from fourfold.store.model import ServiceRow

DEFAULT_RATE = 20.0
SECONDS, QUICK_SECONDS = 10.0, 4.0
SATURATION_SECONDS, QUICK_SATURATION_SECONDS = 5.0, 2.0


async def load_of(
    parts: Parts, row: ServiceRow, spec: Service, request: CompareRequest
) -> tuple[Load, LoadPlan | None]:
    """None: it has no port. Raises UserError for a file of requests that cannot be used."""
    requests = (Request("GET", _path(spec)),)
    rate = request.requests_per_second or DEFAULT_RATE
    seconds = request.duration_seconds or (QUICK_SECONDS if request.quick else SECONDS)
    load = Load(
        source="default",
        requests_per_second=rate,
        duration_seconds=seconds,
        distinct_requests=len(requests),
        examples=tuple(map(str, requests[:5])),
    )
    if spec.port is None:
        return load, None
    saturation = QUICK_SATURATION_SECONDS if request.quick else SATURATION_SECONDS
    return load, LoadPlan(requests, rate, seconds, saturation)


def _path(spec: Service) -> str:
    """One that is answered well, as the service sees it: where it is asked how it is, else where its routes begin."""
    return spec.health.path if spec.health is not None and spec.health.path else spec.route_path
