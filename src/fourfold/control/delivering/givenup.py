"""Events that were given up: kept for a while, listed, and delivered once more when somebody asks for it."""

from __future__ import annotations

from collections.abc import Iterable

from fourfold.control.delivering.queue import Queue
from fourfold.control.registry import Registry
from fourfold.errors import NotFoundError
from fourfold.store.tables.queue import EventRow


class GivenUp:
    def __init__(self, registry: Registry, queue: Queue) -> None:
        self._registry = registry
        self._queue = queue

    def of(self, app: str, service: str | None) -> list[EventRow]:
        """Newest first."""
        return self._registry.store.queue.failed(app, service)

    def replay(self, app: str, service: str | None, ids: Iterable[str] | None) -> list[EventRow]:
        """Deliver those named, or all of the service, as if they came now.

        Raises NotFoundError, and delivers none, for an id that is not there or whose service is gone.
        """
        there = {row.id: row for row in self.of(app, service)}
        wanted = list(there) if ids is None else list(dict.fromkeys(ids))
        if missing := [id for id in wanted if id not in there]:
            raise NotFoundError(
                f"cannot replay {', '.join(missing)}: no failed event of {service or app} has this id",
                "see: fourfold events --failed",
            )
        rows = [there[id] for id in reversed(wanted)]
        if gone := sorted({row.service for row in rows if not self._is_there(row)}):
            raise NotFoundError(
                f"cannot replay events of {', '.join(gone)}: app {app} has no such service any more",
                "bring it back: fourfold up",
            )
        self._queue.again(rows)
        return rows

    def _is_there(self, row: EventRow) -> bool:
        service = self._registry.services.get(f"{row.app}.{row.service}")
        return service is not None and not service.removed
