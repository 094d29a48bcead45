"""What requests for any resource go by."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from fourfold.control.deploying.bringing import Bringing
from fourfold.control.parts import Parts
from fourfold.store.model import ServiceRow


class Requests:
    def __init__(self, parts: Parts, stop: asyncio.Event) -> None:
        self._parts = parts
        self._stop = stop
        self._started_at = parts.clock.now()
        self._bringing = Bringing(parts)

    def _names(self, app: str, services: Sequence[str]) -> list[str]:
        """Each once, however often it is named."""
        self._parts.status.need_app(app)
        if services:
            return [self._need(app, name).name for name in dict.fromkeys(services)]
        return [row.name for row in self._parts.registry.of_app(app) if not row.removed]

    def _need(self, app: str, service: str) -> ServiceRow:
        self._parts.status.need_app(app)
        return self._parts.deployer.need(f"{app}.{service}")
