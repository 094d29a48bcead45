"""What instances take at this moment, for a scrape: read in slices, so that others have their turn meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from fourfold.control.parts import Parts
from fourfold.store.model import InstanceRow
from fourfold.supervise.model import Usage

AT_ONCE = 10
"""Instances that are looked at before others have their turn: one or two milliseconds."""


async def usages(parts: Parts, rows: Iterable[InstanceRow]) -> dict[str, Usage]:
    """Of those that have processes of their own."""
    found: dict[str, Usage] = {}
    for number, row in enumerate(rows, 1):
        if (usage := parts.supervisor.usage(row.id)) is not None:
            found[row.id] = usage
        if number % AT_ONCE == 0:
            await asyncio.sleep(0)
    return found
