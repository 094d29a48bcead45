"""Rows of builds as they are answered. Pure."""

from __future__ import annotations

from fourfold.clock import rfc3339
from fourfold.control.bakery.shapes import BakeView
from fourfold.store.tables.bakes import OPEN, Bake

DAY = 86_400.0
_ENDINGS = {"oci": "tar", "docker-archive": "tar"}


def name_of(row: Bake) -> str:
    return f"{row.service}.{_ENDINGS.get(row.format, row.format)}"


def view_of(row: Bake, position: int | None, now: float, days: float) -> BakeView:
    """`days`: how long one is kept that has ended."""
    begun = row.started_at if row.state != "queued" else None
    return BakeView(
        id=row.id,
        app=row.app,
        service=row.service,
        pattern=row.pattern,
        format=row.format,
        source=row.source,
        actor=row.actor,
        state=row.state,
        position=position if row.state == "queued" else None,
        created_at=rfc3339(row.created_at),
        started_at=None if begun is None else rfc3339(begun),
        ended_at=None if row.ended_at is None else rfc3339(row.ended_at),
        seconds=None if begun is None else round((row.ended_at or now) - begun, 3),
        digest=row.digest or None,
        size_bytes=row.size if row.digest else None,
        name=name_of(row),
        kept_until=None if row.state in OPEN or row.ended_at is None else rfc3339(row.ended_at + days * DAY),
        runtime=row.runtime,
        argv=list(row.argv),
        error=row.error or None,
        hint=row.hint,
    )
