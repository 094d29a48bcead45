"""Keeps the gateway in step with the instances, and knows how many requests a draining one still answers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from fourfold.control.goals import GATEWAY, SYSTEM
from fourfold.control.registry import Registry
from fourfold.control.routing import gateway_config
from fourfold.errors import FourfoldError, UserError, WorldError
from fourfold.gateway.haproxy import Gateway
from fourfold.gateway.model import GatewayConfig

log = logging.getLogger(__name__)

DRAIN_POLL_SECONDS = 0.05
RETRY_SECONDS = 0.5
PATIENCE = 60.0
"""Seconds that the gateway may take to come up."""


class GatewayTraffic:
    """`changed()` is called when a draining instance has no request left."""

    def __init__(self, registry: Registry, gateway: Gateway, certificates: Path, changed: Callable[[], None]) -> None:
        self._registry = registry
        self._gateway = gateway
        self._certificates = certificates
        self._changed = changed
        self._wanted = asyncio.Event()
        self._applied: GatewayConfig | None = None
        self._settled = asyncio.Condition()
        self._error: Exception | None = None
        """Why the last attempt to bring the gateway there failed."""
        self._serving: list[tuple[str, int]] = []
        self._in_flight: dict[str, int] = {}
        """Of servers that the gateway knows to be draining."""

    def sync(self) -> None:
        self._wanted.set()

    def config(self) -> GatewayConfig:
        return gateway_config(self._registry, self._certificates)

    def in_flight(self, name: str) -> int:
        row = self._registry.instances[name]
        if row.port is None or not self._serves():
            return 0
        return self._in_flight.get(name, 1)

    def _process(self) -> list[tuple[str, int]]:
        return [(row.id, row.run) for row in self._registry.of_service(GATEWAY) if row.state == "ready"]

    async def settled(self) -> None:
        """Wait until the gateway serves what the rows say now. Raises WorldError when it does not come to that."""
        self._error = None
        self.sync()

        def settled() -> bool:
            hopeless = isinstance(self._error, UserError)
            return hopeless or (self._applied == self.config() and self._serves_what_it_must())

        try:
            async with asyncio.timeout(PATIENCE), self._settled:
                await self._settled.wait_for(settled)
        except TimeoutError:
            self._error = self._error or WorldError(f"it is not ready after {PATIENCE:g} s")
        else:
            self._error = self._error if isinstance(self._error, UserError) else None
        if self._error is not None:
            raise WorldError(f"the gateway does not serve this yet: {self._error}", "see: fourfold logs gateway")

    def _serves_what_it_must(self) -> bool:
        return self._serves() or not self.config().backends

    def _serves(self) -> bool:
        return bool(self._process())

    def refresh(self) -> None:
        """Something that the configuration names has changed behind its name (a certificate)."""
        self._applied = None
        self.sync()

    async def run(self) -> None:
        while True:
            try:
                async with asyncio.timeout(DRAIN_POLL_SECONDS if self._draining() else None):
                    await self._wanted.wait()
            except TimeoutError:
                pass
            self._wanted.clear()
            try:
                await self._bring()
                await self._count()
            except FourfoldError as error:
                log.error("%s", error)
                await self._retry(error)
            except Exception as error:  # a mistake of ours must not leave the gateway as it is for ever
                log.exception("a fault in the gateway's loop")
                await self._retry(error)

    async def _retry(self, error: Exception) -> None:
        self._applied, self._error = None, error
        async with self._settled:
            self._settled.notify_all()
        asyncio.get_running_loop().call_later(RETRY_SECONDS, self.sync)

    async def _bring(self) -> None:
        config = self.config()
        serving = self._process()
        if not config.backends:
            self._applied = config  # HAProxy is on its way out, or not there
        elif config != self._applied or serving != self._serving:
            self._serving = serving  # a new HAProxy may have read an older file
            await self._gateway.apply(config)
            self._applied = config
        async with self._settled:
            self._settled.notify_all()

    def _draining(self) -> set[str]:
        rows = self._registry.instances.values()
        return {row.id for row in rows if row.state == "draining" and row.port is not None and row.app != SYSTEM}

    async def _count(self) -> None:
        applied = self._applied.backends if self._applied else ()
        known = {server.name for backend in applied for server in backend.servers if server.draining}
        draining = self._draining() & known
        if not draining:
            self._in_flight = {}
            return
        counts = await self._gateway.in_flight() if self._serves() else {}
        before, self._in_flight = self._in_flight, {name: counts.get(name, 0) for name in draining}
        if any(count == 0 and before.get(name, 1) != 0 for name, count in self._in_flight.items()):
            self._changed()
