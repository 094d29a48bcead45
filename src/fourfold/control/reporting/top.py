"""What instances take right now: CPU since the last look, memory, I/O; and what they answer."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from fourfold.control import views as v
from fourfold.control.goals import SYSTEM
from fourfold.control.instances.taken import Looked, taken
from fourfold.control.parts import Parts
from fourfold.control.registry import key_of
from fourfold.control.reporting.status import shown_state, traffic_view
from fourfold.gateway.model import InstanceStats
from fourfold.launch.patterns import memory_limit
from fourfold.store.model import InstanceRow
from fourfold.supervise.hosts.hosted import Hosted

GUEST_SECONDS = 1.0
"""That a virtual machine may take to answer; a hung one is shown from outside."""


async def top(parts: Parts, app: str | None) -> list[v.TopRow]:
    """Of one app, or of all with Fourfold's own gateway."""
    rows = [row for row in parts.registry.instances.values() if app is None or row.app == app]
    hosts = {row.host for row in rows if row.host is not None and row.state != "exited"}
    machines, hosted, served = await asyncio.gather(
        asyncio.gather(*(_machine(parts, row) for row in rows)),
        parts.neighbours.hosted(hosts),
        parts.gateway.served(),
    )
    inside = {row.id: machine for row, machine in zip(rows, machines, strict=True)}
    ordered = sorted(rows, key=lambda row: row.id)
    shown = (_row(parts, row, inside[row.id], hosted.get(row.id), served.get(row.id)) for row in ordered)
    return [row for row in shown if row is not None]


async def _machine(parts: Parts, row: InstanceRow) -> v.GuestView | None:
    usage = None
    with suppress(TimeoutError):
        async with asyncio.timeout(GUEST_SECONDS):
            usage = await parts.supervisor.guest_usage(row.id)
    if usage is None:
        return None
    return v.GuestView(
        cpu_seconds=round(usage.cpu_seconds, 3),
        memory_bytes=usage.memory_bytes,
        memory_total=usage.memory_total,
        processes=usage.processes,
    )


def _row(
    parts: Parts, row: InstanceRow, machine: v.GuestView | None, hosted: Hosted | None, stats: InstanceStats | None
) -> v.TopRow | None:
    if row.pid is None or row.state == "exited":
        return None
    usage = parts.supervisor.usage(row.id)
    if usage is None and row.host is None:
        return None
    takes, now = taken(usage, hosted), parts.clock.now()
    before = parts.looked.get(row.id) or Looked(row.started_at or now)
    requests = stats.requests if stats is not None else 0
    parts.looked[row.id] = Looked(now, takes.cpu_seconds or 0.0, requests)
    elapsed = max(now - before.at, 0.001)
    limit = None
    if row.app != SYSTEM and usage is not None:
        limit = memory_limit(row.pattern, parts.registry.spec(key_of(row), row.release))
    cpu = takes.cpu_seconds
    return v.TopRow(
        app=row.app,
        service=row.service,
        instance=row.id,
        pattern=row.pattern,
        host=row.host,
        state=shown_state(row),
        cpu_percent=round(max(0.0, cpu - before.cpu_seconds) / elapsed * 100, 1) if cpu is not None else None,
        cpu_seconds=round(cpu, 3) if cpu is not None else None,
        cpu=takes.cpu,
        memory_bytes=takes.memory_bytes,
        memory=takes.memory,
        memory_limit=limit,
        processes=usage.processes if usage is not None else None,
        threads=takes.threads,
        descriptors=usage.descriptors if usage is not None else None,
        read_bytes=usage.read_bytes if usage is not None else None,
        written_bytes=usage.written_bytes if usage is not None else None,
        traffic=traffic_view(stats),
        requests_per_second=round(max(0, requests - before.requests) / elapsed, 1) if stats is not None else None,
        guest=machine,
    )
