"""Events of instances; those of Fourfold's own, such as the gateway, are in the daemon's log."""

from __future__ import annotations

import logging
from typing import Any

from fourfold.control.bus import Bus
from fourfold.control.goals import SYSTEM
from fourfold.control.registry import Registry, key_of
from fourfold.store.model import InstanceRow

log = logging.getLogger(__name__)


class InstanceEvents:
    def __init__(self, registry: Registry, bus: Bus) -> None:
        self._registry = registry
        self._bus = bus

    def tell(self, kind: str, row: InstanceRow, message: str, **data: Any) -> None:
        if row.app == SYSTEM:
            log.info("%s", message)
            return
        deployment = self._registry.running_deployment(key_of(row))
        if deployment is not None:
            data["operation"] = deployment.operation
        self._bus.emit(kind, message, app=row.app, service=row.service, instance=row.id, release=row.release, **data)
