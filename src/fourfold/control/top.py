"""What instances take right now: CPU since the last look, memory, I/O."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from fourfold.control import views as v
from fourfold.control.goals import SYSTEM
from fourfold.control.parts import Parts
from fourfold.control.registry import key_of
from fourfold.control.status import shown_state
from fourfold.launch.patterns import memory_limit
from fourfold.store.model import InstanceRow

GUEST_SECONDS = 1.0
"""That a virtual machine may take to answer; a hung one is shown from outside."""


async def top(parts: Parts, app: str | None) -> list[v.TopRow]:
    """Of one app, or of all with Fourfold's own gateway."""
    rows = [row for row in parts.registry.instances.values() if app is None or row.app == app]
    guests = await asyncio.gather(*(_guest(parts, row) for row in rows))
    inside = {row.id: guest for row, guest in zip(rows, guests, strict=True)}
    ordered = sorted(rows, key=lambda row: row.id)
    return [shown for row in ordered if (shown := _row(parts, row, inside[row.id])) is not None]


async def _guest(parts: Parts, row: InstanceRow) -> v.GuestView | None:
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


def _row(parts: Parts, row: InstanceRow, guest: v.GuestView | None) -> v.TopRow | None:
    usage = parts.supervisor.usage(row.id) if row.pid is not None and row.state != "exited" else None
    if usage is None:
        return None
    now = parts.clock.now()
    at, seconds = parts.looked.get(row.id, (row.started_at or now, 0.0))
    parts.looked[row.id] = (now, usage.cpu_seconds)
    elapsed = max(now - at, 0.001)
    limit = None
    if row.app != SYSTEM:
        limit = memory_limit(row.pattern, parts.registry.spec(key_of(row), row.release))
    return v.TopRow(
        app=row.app,
        service=row.service,
        instance=row.id,
        pattern=row.pattern,
        state=shown_state(row),
        cpu_percent=round(max(0.0, usage.cpu_seconds - seconds) / elapsed * 100, 1),
        cpu_seconds=round(usage.cpu_seconds, 3),
        memory_bytes=usage.memory_bytes,
        memory_limit=limit,
        processes=usage.processes,
        threads=usage.threads,
        descriptors=usage.descriptors,
        read_bytes=usage.read_bytes,
        written_bytes=usage.written_bytes,
        guest=guest,
        host=row.host,
    )
